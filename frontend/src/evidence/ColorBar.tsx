import type { ColorScale } from "../drawing/color";
import { formatNumber } from "../drawing/format";
import { ticks } from "../drawing/scale";

/** The legend of a color scale. */
export function ColorBar({ scale, label }: { scale: ColorScale; label: string }) {
  const [low, high] = scale.domain;
  const shown = [...new Set([low, ...ticks(scale.domain, 4), high])].filter(
    (tick) => tick === low || tick === high || Math.min(tick - low, high - tick) > (high - low) / 5,
  );
  const description = `Color scale: ${label}, from ${formatNumber(low)} to ${formatNumber(high)}`;
  return (
    <div className="color-bar" role="img" aria-label={description}>
      <span className="color-label">{label}</span>
      <span className="color-ramp" style={{ backgroundImage: `linear-gradient(to right, ${scale.stops.join(",")})` }} />
      <span className="color-ticks">
        {shown.map((tick) => (
          <span
            key={tick}
            className={tick === low ? "at-start" : tick === high ? "at-end" : ""}
            style={{ left: `${(100 * (tick - low)) / (high - low)}%` }}
          >
            {formatNumber(tick)}
          </span>
        ))}
      </span>
    </div>
  );
}
