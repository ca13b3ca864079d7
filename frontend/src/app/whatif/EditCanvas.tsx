import { type KeyboardEvent, type PointerEvent, useEffect, useRef, useState } from "react";
import type { Patch } from "../../api";
import { type Box, boxAround, boxBetween, clipped, type Color, colorAt, meanColor, type Point, type Source, Stroke } from "./pixels";
import { ABOUT_TOOLS, picksUp, type Tool } from "./tools";

interface Props {
  /** What is shown; changes whenever the server or a stroke changes it. */
  pixels: ImageData;
  tool: Tool;
  color: Color;
  size: number;
  /** A stroke grows, or is done: the pixels with it, and the patch. */
  onStroke: (stroke: number, patch: Patch, shown: ImageData, label: string) => void;
}

const GRAY: Color = [128, 128, 128];
let strokes = 0;

/** The image, edited by pointer or keyboard. */
export function EditCanvas({ pixels, tool, color, size, onStroke }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const drawing = useRef<{ id: number; stroke: Stroke; base: ImageData; last: Point; source: Source } | null>(null);
  const [cursor, setCursor] = useState<Point | null>(null);
  const [corner, setCorner] = useState<Point | null>(null);
  const [held, setHeld] = useState<{ box: Box; pixels: ImageData } | null>(null);
  const [from, setFrom] = useState<Point | null>(null);
  const [said, setSaid] = useState("");
  const { height, width } = pixels;
  useEffect(() => canvas.current?.getContext("2d", { willReadFrequently: true })?.putImageData(pixels, 0, 0), [pixels]);
  useEffect(() => (setHeld(null), setCorner(null), setFrom(null)), [tool, height, width]);

  const point = (event: PointerEvent<HTMLElement>): Point => {
    const area = canvas.current!.getBoundingClientRect();
    const at = (value: number, count: number) => Math.max(0, Math.min(count - 1, Math.floor(value * count)));
    return { y: at((event.clientY - area.top) / area.height, height), x: at((event.clientX - area.left) / area.width, width) };
  };
  const sourceAt = (start: Point): Source => {
    if (tool === "paint") return () => color;
    if (tool === "erase") return constant(meanColor(pixels));
    if (tool !== "clone" || !from) return () => GRAY;
    const [dy, dx] = [from.y - start.y, from.x - start.x];
    return (y, x) => (y + dy >= 0 && y + dy < height && x + dx >= 0 && x + dx < width ? colorAt(pixels, y + dy, x + dx) : null);
  };
  const show = (id: number, stroke: Stroke, base: ImageData, label: string) => {
    const patch = stroke.patch();
    if (patch) onStroke(id, patch, stroke.over(base), label);
  };
  const paste = (at: Point, what: NonNullable<typeof held>) => {
    const box = { ...what.box, top: at.y - Math.floor(what.box.height / 2), left: at.x - Math.floor(what.box.width / 2) };
    const stroke = new Stroke(height, width);
    stroke.stamp(box, (y, x) => colorAt(what.pixels, y - box.top + what.box.top, x - box.left + what.box.left), false);
    show(++strokes, stroke, pixels, ABOUT_TOOLS.copy.done);
    setSaid("Pasted.");
  };
  const pickUp = (chosen: Box) => {
    const box = clipped(chosen, height, width);
    if (!box) return;
    setHeld({ box, pixels });
    setSaid("Picked up; choose where to paste it.");
    if (tool !== "cut") return;
    const stroke = new Stroke(height, width);
    stroke.stamp(box, constant(meanColor(pixels)), false);
    show(++strokes, stroke, pixels, ABOUT_TOOLS.cut.done);
  };
  /** One use of the tool at a place, by a click or the keyboard. */
  const begin = (at: Point): boolean => {
    if (held) return paste(at, held), false;
    if (tool === "clone" && !from) return setFrom(at), setSaid("Pixels are taken from here; now paint."), false;
    const stroke = new Stroke(height, width);
    const source = sourceAt(at);
    stroke.stamp(boxAround(at.y, at.x, size), source, tool !== "hide");
    drawing.current = { id: ++strokes, stroke, base: pixels, last: at, source };
    show(drawing.current.id, stroke, pixels, ABOUT_TOOLS[tool].done);
    return true;
  };
  const press = (event: PointerEvent<HTMLElement>) => {
    if (event.button !== 0) return;
    const at = point(event);
    event.currentTarget.setPointerCapture(event.pointerId);
    if (picksUp(tool) && !held) setCorner(at);
    else begin(at);
  };
  const move = (event: PointerEvent<HTMLElement>) => {
    const at = point(event);
    setCursor(at);
    const now = drawing.current;
    if (!now) return;
    now.stroke.line(now.last, at, size, now.source, tool !== "hide");
    now.last = at;
    show(now.id, now.stroke, now.base, ABOUT_TOOLS[tool].done);
  };
  const release = (event: PointerEvent<HTMLElement>) => {
    drawing.current = null;
    if (!corner) return;
    setCorner(null);
    pickUp(boxBetween(corner, point(event)));
  };
  const type = (event: KeyboardEvent) => {
    const at = cursor ?? { y: Math.floor(height / 2), x: Math.floor(width / 2) };
    const by = event.shiftKey ? 1 : Math.max(1, Math.floor(size / 2));
    const moves: Record<string, [number, number]> = { ArrowUp: [-by, 0], ArrowDown: [by, 0], ArrowLeft: [0, -by], ArrowRight: [0, by] };
    const [dy, dx] = moves[event.key] ?? [0, 0];
    if (dy || dx) {
      const to = { y: Math.max(0, Math.min(height - 1, at.y + dy)), x: Math.max(0, Math.min(width - 1, at.x + dx)) };
      setCursor(to);
      setSaid(`Row ${to.y}, column ${to.x}`);
    } else if (event.key === "Enter" || event.key === " ") {
      setCursor(at);
      if (picksUp(tool) && !held) pickUp(boxAround(at.y, at.x, size));
      else if (begin(at)) setSaid(`${ABOUT_TOOLS[tool].done} at row ${at.y}, column ${at.x}`);
      drawing.current = null;
    } else if (event.key === "Escape") (setHeld(null), setFrom(null), setCorner(null));
    else return;
    event.preventDefault();
  };

  const frame = frameOf(cursor, corner, held?.box ?? null, size);
  return (
    <div
      className="edit-canvas"
      role="application"
      aria-label={`The image. Tool: ${ABOUT_TOOLS[tool].name}. Arrows move a window, Enter uses the tool there.`}
      tabIndex={0}
      onPointerDown={press}
      onPointerMove={move}
      onPointerUp={release}
      onPointerCancel={() => ((drawing.current = null), setCorner(null))}
      onPointerLeave={() => setCursor(null)}
      onKeyDown={type}
      style={{ aspectRatio: `${width} / ${height}` }}
    >
      <canvas ref={canvas} width={width} height={height} className={width < 128 ? "pixelated" : ""} />
      {frame && <span className={tool === "hide" || picksUp(tool) ? "tool-frame" : "tool-frame round"} style={placed(frame, height, width)} />}
      {from && <span className="tool-frame source" style={placed(boxAround(from.y, from.x, size), height, width)} />}
      <span role="status" className="only-read">
        {said}
      </span>
    </div>
  );
}

const constant = (color: Color): Source => () => color;

function frameOf(cursor: Point | null, corner: Point | null, held: Box | null, size: number): Box | null {
  if (!cursor) return null;
  if (corner) return boxBetween(corner, cursor);
  if (!held) return boxAround(cursor.y, cursor.x, size);
  return { ...held, top: cursor.y - Math.floor(held.height / 2), left: cursor.x - Math.floor(held.width / 2) };
}

function placed(box: Box, height: number, width: number) {
  const share = (value: number, of: number) => `${(100 * value) / of}%`;
  return { top: share(box.top, height), left: share(box.left, width), height: share(box.height, height), width: share(box.width, width) };
}
