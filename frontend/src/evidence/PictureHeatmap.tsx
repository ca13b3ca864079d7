import { useContext, useMemo, useState, type PointerEvent } from "react";
import type { Heatmap } from "../audit";
import type { ColorScale } from "../drawing/color";
import { formatNumber } from "../drawing/format";
import { allUnmeasured, cellAt, paint } from "../drawing/heat";
import { LinksContext } from "../links";
import { PictureView } from "./PictureView";

interface Props {
  heatmap: Heatmap & { picture: NonNullable<Heatmap["picture"]> };
  scale: ColorScale;
  opacity: number;
}

const PAINTED_SIZE = 192;

/** A heatmap over its image. The image is shown in gray, so that all color comes from the scale. */
export function PictureHeatmap({ heatmap, scale, opacity }: Props) {
  const [readout, setReadout] = useState<string | null>(null);
  const { values, picture } = heatmap;
  const { image } = useContext(LinksContext);
  const painted = useMemo(() => {
    const cells = Math.max(values.length, values[0]?.length ?? 1);
    return paint(values, scale, Math.max(1, Math.round(PAINTED_SIZE / cells)));
  }, [values, scale]);
  const showValue = (event: PointerEvent<HTMLElement>) => {
    const area = event.currentTarget.getBoundingClientRect();
    const { value } = cellAt(values, (event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height);
    setReadout(value === null ? "not measured" : formatNumber(value));
  };
  return (
    <figure>
      <div
        className={opacity > 0 ? "overlay shows-heat" : "overlay"}
        style={{ aspectRatio: `${picture.width} / ${picture.height}` }}
        onPointerMove={showValue}
        onPointerDown={showValue}
        onPointerLeave={() => setReadout(null)}
      >
        <PictureView picture={picture} />
        <img className="heat" src={painted} style={{ opacity }} alt={heatmap.alt || heatmap.caption || "Heatmap"} />
        {readout !== null && <span className="readout">{readout}</span>}
      </div>
      <figcaption>
        {heatmap.caption}
        {allUnmeasured(values) && <span className="note">Not measured</span>}
        {picture.row !== null && image(picture.row)}
      </figcaption>
    </figure>
  );
}
