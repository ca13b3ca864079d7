import { useMemo, useState } from "react";
import type { Heatmap, Heatmaps } from "../audit";
import { colorScale } from "../drawing/color";
import { AxesHeatmap } from "./AxesHeatmap";
import { ColorBar } from "./ColorBar";
import { PictureHeatmap } from "./PictureHeatmap";

type OverPicture = Heatmap & { picture: NonNullable<Heatmap["picture"]> };
const isOverPicture = (item: Heatmap): item is OverPicture => item.picture !== null;

/** Heatmaps with one color scale, so that a color means the same value in all of them. */
export function HeatmapsView({ group, printing }: { group: Heatmaps; printing: boolean }) {
  const [overlay, setOverlay] = useState(true);
  const [opacity, setOpacity] = useState(0.65);
  const { low, high, diverging } = group;
  const scale = useMemo(() => colorScale(low ?? 0, high ?? 1, diverging), [low, high, diverging]);
  const hasPictures = group.items.some(isOverPicture);
  return (
    <div className="evidence">
      <h4>{group.title}</h4>
      {group.items.length === 0 && <p className="quiet">No heatmaps.</p>}
      <div className="heat-tools">
        <ColorBar scale={scale} label={group.scale_label} />
        {hasPictures && (
          <div className="heat-controls">
            <span role="group" aria-label="Display" className="switch">
              <button type="button" className="toggle" aria-pressed={overlay} onClick={() => setOverlay(true)}>
                Overlay
              </button>
              <button type="button" className="toggle" aria-pressed={!overlay} onClick={() => setOverlay(false)}>
                Image
              </button>
            </span>
            <label className="opacity">
              Opacity
              <input
                type="range"
                min="0"
                max="1"
                step="0.05"
                value={opacity}
                disabled={!overlay}
                onChange={(event) => setOpacity(Number(event.target.value))}
              />
            </label>
          </div>
        )}
      </div>
      <ul className={hasPictures ? "pictures heatmaps" : "heatmaps-axes"}>
        {group.items.map((item, i) => (
          <li key={i}>
            {isOverPicture(item) ? (
              <PictureHeatmap heatmap={item} scale={scale} opacity={overlay ? opacity : 0} />
            ) : (
              <AxesHeatmap {...{ heatmap: item, scale, printing }} xLabel={group.x_label} yLabel={group.y_label} />
            )}
          </li>
        ))}
      </ul>
    </div>
  );
}
