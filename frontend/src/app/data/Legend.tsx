import { formatNumber } from "../../drawing/format";
import { colorScale } from "../../drawing/color";
import { type Coloring, css } from "./plot";

/** What the colors mean. */
export function Legend({ name, coloring }: { name: string; coloring: Coloring }) {
  const { legend, range } = coloring;
  return (
    <div className="data-legend">
      <span className="quiet">{name}:</span>
      {range && (
        <span className="legend-item">
          {formatNumber(range[0])}
          <span className="scale-bar" style={{ background: `linear-gradient(to right, ${colorScale(0, 1, false).stops.join()})` }} />
          {formatNumber(range[1])}
        </span>
      )}
      {legend.map(({ color, square, name: text }) => (
        <span key={text} className="legend-item">
          <i className={square ? "legend-dot legend-square" : "legend-dot"} style={{ background: css(color) }} />
          {text}
        </span>
      ))}
    </div>
  );
}
