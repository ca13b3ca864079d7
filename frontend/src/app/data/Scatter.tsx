import { type KeyboardEvent, type PointerEvent, useCallback, useEffect, useId, useMemo, useRef, useState } from "react";
import type { Thumbnails } from "../../api";
import { useWidth } from "../../hooks";
import { Legend } from "./Legend";
import * as plot from "./plot";
import type { Fact, Images } from "./table";
import { useSprites } from "./sprites";
import { Thumbnail } from "./Thumbnail";

const TOOLS = { move: "Move", box: "Box", lasso: "Lasso" } as const;
type Tool = keyof typeof TOOLS;
const STEP = 60; // Pixels that an arrow key moves the plot.
const ZOOM = 1.4;

interface Props {
  images: Images;
  thumbnails: Thumbnails;
  x: Fact;
  y: Fact;
  color: Fact | null;
  shown: Uint8Array;
  selected: ReadonlySet<number>;
  onSelect: (rows: readonly number[]) => void;
  onPick: (row: number) => void;
}

/** All images by two facts and in the color of a third, as points, and as thumbnails where there is room. */
export function Scatter({ images, thumbnails, x, y, color, shown, selected, onSelect, onPick }: Props) {
  const [box, width] = useWidth<HTMLDivElement>(800);
  const height = Math.round(Math.min(620, Math.max(320, 0.66 * width)));
  const canvas = useRef<HTMLCanvasElement>(null);
  const [tool, setTool] = useState<Tool>("move");
  const [hovered, setHovered] = useState<number | null>(null);
  const [outline, setOutline] = useState<readonly plot.Point[]>([]);
  const [colors, setColors] = useState(plot.palette);
  const zoom = useRef(plot.WHOLE);
  const frame = useRef(0);
  const help = useId();
  const axes = useMemo(() => ({ x: plot.axisOf(x, 0), y: plot.axisOf(y, 1) }), [x, y]);
  const coloring = useMemo(() => plot.coloringOf(color, images.count, colors), [color, images.count, colors]);
  const placed = useMemo<plot.Placed>(
    () => ({ x: new Float32Array(images.count), y: new Float32Array(images.count), rows: [] }),
    [images.count],
  );
  const scene = useRef<() => void>(() => {});
  const redraw = useCallback(() => {
    cancelAnimationFrame(frame.current);
    frame.current = requestAnimationFrame(() => scene.current());
  }, []);
  const sprites = useSprites(thumbnails, redraw);
  scene.current = () => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    plot.place(axes.x, axes.y, shown, zoom.current, width, height, placed);
    const drawing = { ...axes, coloring, placed, selected, sprites, zoom: zoom.current, width, height, colors };
    plot.draw(context, drawing, devicePixelRatio);
  };
  useEffect(redraw, [redraw, axes, coloring, shown, selected, width, height, sprites]);
  useEffect(() => {
    zoom.current = plot.WHOLE;
    redraw();
  }, [axes, redraw]);
  useEffect(() => {
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const change = () => setColors(plot.palette());
    scheme.addEventListener("change", change);
    return () => scheme.removeEventListener("change", change);
  }, []);
  const zoomBy = useCallback(
    (factor: number, at?: plot.Point) => {
      const [left, top] = at ?? [width / 2, height / 2];
      zoom.current = plot.closer(zoom.current, factor, left - plot.MARGIN.left, top - plot.MARGIN.top);
      redraw();
    },
    [width, height, redraw],
  );
  useEffect(() => {
    // React's wheel events are passive, and the page would scroll.
    const element = canvas.current!;
    const wheel = (event: WheelEvent) => {
      event.preventDefault();
      zoomBy(1.0016 ** -event.deltaY, [event.offsetX, event.offsetY]);
    };
    element.addEventListener("wheel", wheel, { passive: false });
    return () => element.removeEventListener("wheel", wheel);
  }, [zoomBy]);
  const moveBy = (left: number, top: number) => {
    zoom.current = { ...zoom.current, left: zoom.current.left + left, top: zoom.current.top + top };
    redraw();
  };
  const pointer = usePointer({ tool, zoomBy, moveBy, setOutline, setHovered, onSelect, onPick, placed });
  const keys = (event: KeyboardEvent) => {
    const actions: Record<string, () => void> = {
      ArrowLeft: () => moveBy(STEP, 0),
      ArrowRight: () => moveBy(-STEP, 0),
      ArrowUp: () => moveBy(0, STEP),
      ArrowDown: () => moveBy(0, -STEP),
      "+": () => zoomBy(ZOOM),
      "=": () => zoomBy(ZOOM),
      "-": () => zoomBy(1 / ZOOM),
      "0": () => ((zoom.current = plot.WHOLE), redraw()),
      Enter: () => onSelect(placed.rows),
      Escape: () => onSelect([]),
    };
    const action = actions[event.key];
    if (!action || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    action();
  };
  return (
    <div className="scatter">
      <div className="scatter-tools">
        <fieldset className="tools">
          <legend className="only-read">What dragging does</legend>
          {Object.entries(TOOLS).map(([name, text]) => (
            <label key={name}>
              <input type="radio" name={help} checked={tool === name} onChange={() => setTool(name as Tool)} />
              {text}
            </label>
          ))}
        </fieldset>
        <button type="button" className="plain" onClick={() => zoomBy(ZOOM)} aria-label="Zoom in">
          +
        </button>
        <button type="button" className="plain" onClick={() => zoomBy(1 / ZOOM)} aria-label="Zoom out">
          −
        </button>
        <button type="button" className="plain" onClick={() => ((zoom.current = plot.WHOLE), redraw())}>
          Show all
        </button>
        <button type="button" className="plain" onClick={() => onSelect([...placed.rows])}>
          Select what is in view
        </button>
      </div>
      <div ref={box} className="scatter-plot">
        <canvas
          ref={canvas}
          className={`scatter-canvas scatter-${tool}`}
          width={Math.round(width * devicePixelRatio)}
          height={Math.round(height * devicePixelRatio)}
          style={{ width, height }}
          tabIndex={0}
          role="application"
          aria-label={`${images.count} images by ${x.name} and ${y.name}`}
          aria-describedby={help}
          onKeyDown={keys}
          {...pointer}
        />
        {outline.length > 1 && (
          <svg className="scatter-outline" width={width} height={height} aria-hidden="true">
            <polygon points={outline.map(([left, top]) => `${left},${top}`).join(" ")} />
          </svg>
        )}
        {hovered !== null && (
          <Hint
            images={images}
            thumbnails={thumbnails}
            row={hovered}
            left={placed.x[hovered]!}
            top={placed.y[hovered]!}
            right={placed.x[hovered]! > width / 2}
          />
        )}
      </div>
      <p className="axis-names quiet">
        Vertical axis: {y.name}. Horizontal axis: {x.name}.
      </p>
      {color && <Legend name={color.name} coloring={coloring} />}
      <p id={help} className="quiet scatter-help">
        Drag to move the plot, or choose Box or Lasso to select images. The wheel, + and − zoom; arrows move; 0 shows all; Enter
        selects what is in view; Escape clears the selection. When few images are in view, they are drawn as thumbnails.
      </p>
    </div>
  );
}

interface HintProps {
  images: Images;
  thumbnails: Thumbnails;
  row: number;
  left: number;
  top: number;
  right: boolean;
}

function Hint({ images, thumbnails, row, left, top, right }: HintProps) {
  const side = right ? { right: `calc(100% - ${left - 12}px)` } : { left: left + 12 };
  return (
    <div className="scatter-hint" style={{ top: Math.max(0, top - 30), ...side }} aria-hidden="true">
      <Thumbnail thumbnails={thumbnails} row={row} side={56} />
      <span>{images.paths[row]}</span>
    </div>
  );
}

interface PointerProps {
  tool: Tool;
  zoomBy: (factor: number, at?: plot.Point) => void;
  moveBy: (left: number, top: number) => void;
  setOutline: (outline: readonly plot.Point[]) => void;
  setHovered: (row: number | null) => void;
  onSelect: (rows: readonly number[]) => void;
  onPick: (row: number) => void;
  placed: plot.Placed;
}

/** Pointer events: drag to move or select, click to pick; two fingers zoom. */
function usePointer({ tool, zoomBy, moveBy, setOutline, setHovered, onSelect, onPick, placed }: PointerProps) {
  const down = useRef(new Map<number, plot.Point>());
  const path = useRef<plot.Point[]>([]);
  const moved = useRef(false);
  const at = (event: PointerEvent): plot.Point => [event.nativeEvent.offsetX, event.nativeEvent.offsetY];
  const onPointerDown = (event: PointerEvent<HTMLCanvasElement>) => {
    event.currentTarget.setPointerCapture(event.pointerId);
    down.current.set(event.pointerId, at(event));
    path.current = [at(event)];
    moved.current = false;
    setHovered(null);
  };
  const onPointerMove = (event: PointerEvent<HTMLCanvasElement>) => {
    const now = at(event);
    const before = down.current.get(event.pointerId);
    if (!before) return setHovered(plot.nearest(placed, ...now));
    const other = [...down.current].find(([id]) => id !== event.pointerId)?.[1];
    down.current.set(event.pointerId, now);
    moved.current ||= Math.hypot(now[0] - path.current[0]![0], now[1] - path.current[0]![1]) > 4;
    if (other) {
      const apart = ([x, y]: plot.Point) => Math.hypot(x - other[0], y - other[1]);
      if (apart(before) > 0) zoomBy(apart(now) / apart(before), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
    } else if (tool === "move") {
      moveBy(now[0] - before[0], now[1] - before[1]);
    } else {
      path.current = tool === "lasso" ? [...path.current, now] : [path.current[0]!, now];
      setOutline(shape(tool, path.current));
    }
  };
  const onPointerUp = (event: PointerEvent<HTMLCanvasElement>) => {
    if (!down.current.delete(event.pointerId)) return;
    if (!moved.current) {
      const row = plot.nearest(placed, ...at(event));
      if (row !== null) onPick(row);
    } else if (tool !== "move" && path.current.length > 1) {
      onSelect(plot.within(placed, shape(tool, path.current)));
    }
    setOutline([]);
  };
  const onPointerCancel = (event: PointerEvent) => {
    down.current.delete(event.pointerId);
    setOutline([]);
  };
  return { onPointerDown, onPointerMove, onPointerUp, onPointerCancel, onPointerLeave: () => setHovered(null) };
}

function shape(tool: Tool, path: readonly plot.Point[]): readonly plot.Point[] {
  if (tool === "lasso") return path;
  const [[left, top], [right, bottom]] = [path[0]!, path.at(-1)!];
  return [[left, top], [right, top], [right, bottom], [left, bottom]];
}
