import { useMemo, useState } from "react";
import type { Heatmap, Heatmaps } from "../audit";
import { colorScale, type ColorScale } from "../drawing/color";
import { formatNumber } from "../drawing/format";
import { ticks } from "../drawing/scale";
import { AxesHeatmap } from "./AxesHeatmap";
import { PictureHeatmap } from "./PictureHeatmap";

type OverPicture = Heatmap & { picture: NonNullable<Heatmap["picture"]> };
const isOverPicture = (item: Heatmap): item is OverPicture => item.picture !== null;

/** Heatmaps that share one scale, so that the same colour means the same number in all of them. */
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
            <span role="group" aria-label="What is shown" className="switch">
              <button type="button" className="toggle" aria-pressed={overlay} onClick={() => setOverlay(true)}>
                Overlay
              </button>
              <button type="button" className="toggle" aria-pressed={!overlay} onClick={() => setOverlay(false)}>
                Picture
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

function ColorBar({ scale, label }: { scale: ColorScale; label: string }) {
  const [low, high] = scale.domain;
  const marks = [...new Set([low, ...ticks(scale.domain, 4), high])].filter(
    (mark) => mark === low || mark === high || Math.min(mark - low, high - mark) > (high - low) / 5,
  );
  const described = `Colour scale: ${label}, from ${formatNumber(low)} to ${formatNumber(high)}`;
  return (
    <div className="color-bar" role="img" aria-label={described}>
      <span className="color-label">{label}</span>
      <span className="color-ramp" style={{ backgroundImage: `linear-gradient(to right, ${scale.stops.join(",")})` }} />
      <span className="color-marks">
        {marks.map((mark) => (
          <span
            key={mark}
            className={mark === low ? "at-start" : mark === high ? "at-end" : ""}
            style={{ left: `${(100 * (mark - low)) / (high - low)}%` }}
          >
            {formatNumber(mark)}
          </span>
        ))}
      </span>
    </div>
  );
}
