import type { ColorScale } from "../drawing/color";
import { formatNumber } from "../drawing/format";
import { ticks } from "../drawing/scale";

/** What the colors of heatmaps and maps mean. */
export function ColorBar({ scale, label }: { scale: ColorScale; label: string }) {
  const [low, high] = scale.domain;
  const marks = [...new Set([low, ...ticks(scale.domain, 4), high])].filter(
    (mark) => mark === low || mark === high || Math.min(mark - low, high - mark) > (high - low) / 5,
  );
  const described = `Color scale: ${label}, from ${formatNumber(low)} to ${formatNumber(high)}`;
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
