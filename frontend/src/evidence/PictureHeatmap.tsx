import { useEffect, useRef, useState, type PointerEvent } from "react";
import type { Heatmap } from "../audit";
import type { ColorScale } from "../drawing/color";
import { formatNumber } from "../drawing/format";
import { allUnmeasured, cellAt, paint } from "../drawing/heat";
import { PictureView } from "./PictureView";

interface Props {
  heatmap: Heatmap & { picture: NonNullable<Heatmap["picture"]> };
  scale: ColorScale;
  opacity: number;
}

const CANVAS_SIZE = 192;

/** A heatmap over its picture. The picture turns gray under it, so that all color on it comes from the scale. */
export function PictureHeatmap({ heatmap, scale, opacity }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [raw, setRaw] = useState<string | null>(null);
  const { values } = heatmap;
  useEffect(() => {
    const cells = Math.max(values.length, values[0]?.length ?? 1);
    if (canvas.current) paint(canvas.current, values, scale, Math.max(1, Math.round(CANVAS_SIZE / cells)));
  }, [values, scale]);
  const read = (event: PointerEvent<HTMLElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    const { value } = cellAt(values, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    setRaw(value === null ? "not measured" : formatNumber(value));
  };
  return (
    <figure>
      <div
        className={opacity > 0 ? "overlay shows-heat" : "overlay"}
        style={{ aspectRatio: `${heatmap.picture.width} / ${heatmap.picture.height}` }}
        onPointerMove={read}
        onPointerDown={read}
        onPointerLeave={() => setRaw(null)}
      >
        <PictureView picture={heatmap.picture} />
        <canvas ref={canvas} style={{ opacity }} role="img" aria-label={heatmap.alt || heatmap.caption || "Heatmap"} />
        {raw !== null && <span className="readout">{raw}</span>}
      </div>
      <figcaption>
        {heatmap.caption}
        {allUnmeasured(values) && <span className="note">Nothing was measured here.</span>}
      </figcaption>
    </figure>
  );
}
