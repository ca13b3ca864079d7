import { formatNumber } from "../../drawing/format";

const WIDTH = 300;
const HEIGHT = 110;
const LEFT = 34;
const BOTTOM = 20;

interface Props {
  counts: readonly number[];
  low: number | null;
  high: number | null;
}

/** How many images have which activation: bars over an axis from the lowest to the highest. */
export function Histogram({ counts, low, high }: Props) {
  const most = Math.max(...counts, 1);
  const width = (WIDTH - LEFT) / counts.length;
  const inside = HEIGHT - BOTTOM - 8;
  const at = low !== null && high !== null && low < 0 && high > 0 ? -low / (high - low) : null;
  return (
    <svg
      className="histogram"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      role="img"
      aria-label={`Histogram of the activation over the images, from ${formatNumber(low)} to ${formatNumber(high)}`}
    >
      {counts.map((count, bin) => {
        const height = (count / most) * inside;
        return (
          <rect key={bin} x={LEFT + bin * width} y={8 + inside - height} width={Math.max(1, width - 1)} height={height}>
            <title>{`${count} images`}</title>
          </rect>
        );
      })}
      <line x1={LEFT} x2={WIDTH} y1={8 + inside} y2={8 + inside} />
      {at !== null && <line className="zero" x1={LEFT + at * (WIDTH - LEFT)} x2={LEFT + at * (WIDTH - LEFT)} y1={8} y2={8 + inside} />}
      <text x={LEFT} y={HEIGHT - 5}>
        {formatNumber(low)}
      </text>
      {at !== null && at > 0.15 && at < 0.85 && (
        <text x={LEFT + at * (WIDTH - LEFT)} y={HEIGHT - 5} textAnchor="middle">
          0
        </text>
      )}
      <text x={WIDTH} y={HEIGHT - 5} textAnchor="end">
        {formatNumber(high)}
      </text>
      <text x={LEFT - 5} y={16} textAnchor="end">
        {most}
      </text>
      <text x={LEFT - 5} y={8 + inside} textAnchor="end">
        0
      </text>
    </svg>
  );
}
