import { useRef, useState, type PointerEvent } from "react";
import { fileUrl } from "../ask";

export interface Box {
  top: number;
  left: number;
  bottom: number;
  right: number;
}

interface Props {
  row: number;
  size: readonly (number | null)[] | null;
  small: boolean;
  box: Box | null;
  onChange: (box: Box | null) => void;
}

/** A box on an image, drawn with the pointer or given in numbers. */
export function BoxChoice({ row, size, small, box, onChange }: Props) {
  const [height, width] = [size?.[0] ?? 1, size?.[1] ?? 1];
  const area = useRef<HTMLDivElement>(null);
  const [start, setStart] = useState<[number, number] | null>(null);
  const place = (event: PointerEvent): [number, number] => {
    const { left, top, width: w, height: h } = area.current!.getBoundingClientRect();
    const at = (value: number, most: number) => Math.round(Math.min(1, Math.max(0, value)) * most);
    return [at((event.clientY - top) / h, height), at((event.clientX - left) / w, width)];
  };
  const draw = (event: PointerEvent) => {
    if (!start) return;
    const [y, x] = place(event);
    const next = {
      top: Math.min(start[0], y),
      left: Math.min(start[1], x),
      bottom: Math.max(start[0], y),
      right: Math.max(start[1], x),
    };
    onChange(next.bottom > next.top && next.right > next.left ? next : null);
  };
  const edge = (name: keyof Box, most: number) => (
    <label>
      {name}
      <input
        type="number"
        min={0}
        max={most}
        value={box?.[name] ?? ""}
        onChange={(event) =>
          onChange({ top: 0, left: 0, bottom: height, right: width, ...box, [name]: Number(event.target.value) })
        }
      />
    </label>
  );
  return (
    <fieldset>
      <legend>Region that the attack may change</legend>
      <div
        ref={area}
        className="box-choice"
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          setStart(place(event));
        }}
        onPointerMove={draw}
        onPointerUp={() => setStart(null)}
      >
        <img
          src={fileUrl(`/images/${row}/picture`)}
          alt={`Image ${row}`}
          className={small ? "pixelated" : ""}
          draggable={false}
        />
        {box && (
          <span
            className="box-drawn"
            style={{
              top: `${(100 * box.top) / height}%`,
              left: `${(100 * box.left) / width}%`,
              height: `${(100 * (box.bottom - box.top)) / height}%`,
              width: `${(100 * (box.right - box.left)) / width}%`,
            }}
          />
        )}
      </div>
      <p className="edges">
        {edge("top", height)}
        {edge("left", width)}
        {edge("bottom", height)}
        {edge("right", width)}
      </p>
    </fieldset>
  );
}
