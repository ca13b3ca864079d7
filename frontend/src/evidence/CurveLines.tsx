import type { Series } from "../audit";
import type { Maybe } from "../drawing/format";

/** One marker per line, centered on (0, 0), so that lines can be distinguished without color. */
export const MARKERS = [
  "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
  "M-3.6-3.6h7.2v7.2h-7.2z",
  "M0-4.8L4.6 3.6h-9.2z",
  "M0-5L5 0L0 5L-5 0z",
  "M0 4.8L4.6-3.6h-9.2z",
  "M-4.4-1.6h2.8v-2.8h3.2v2.8h2.8v3.2h-2.8v2.8h-3.2v-2.8h-2.8z",
];

const MANY_POINTS = 40;
const styleOf = (series: Series, index: number) =>
  series.reference ? "series reference" : `series series-${(index % MARKERS.length) + 1}`;

interface LineProps {
  series: Series;
  index: number;
  x: (value: number) => number;
  y: (value: number) => number;
}

export function SeriesLine({ series, index, x, y }: LineProps) {
  const line = pathThrough(series.x, series.y, x, y);
  const marked = !series.reference && series.x.length <= MANY_POINTS;
  return (
    <g className={styleOf(series, index)}>
      {series.low && series.high && <path className="band" d={bandBetween(series, x, y)} />}
      <path className="line" d={line} />
      {marked &&
        series.x.map((value, i) => {
          const yValue = series.y[i];
          if (value === null || yValue === null || yValue === undefined || !Number.isFinite(x(value))) return null;
          return (
            <path key={i} className="marker" d={MARKERS[index % MARKERS.length]} transform={`translate(${x(value)} ${y(yValue)})`} />
          );
        })}
    </g>
  );
}

/** A path through the points, with gaps at missing points and at points outside the domain of a log axis. */
function pathThrough(xs: readonly Maybe[], ys: readonly Maybe[], x: LineProps["x"], y: LineProps["y"]): string {
  let path = "";
  let command = "M";
  xs.forEach((value, i) => {
    const yValue = ys[i];
    if (value === null || yValue === null || yValue === undefined || !Number.isFinite(x(value))) {
      command = "M";
      return;
    }
    path += `${command}${x(value).toFixed(1)} ${y(yValue).toFixed(1)}`;
    command = "L";
  });
  return path;
}

function bandBetween(series: Series, x: LineProps["x"], y: LineProps["y"]): string {
  const points = series.x.flatMap((value, i) => {
    const [low, high] = [series.low?.[i] ?? null, series.high?.[i] ?? null];
    if (value === null || low === null || high === null || !Number.isFinite(x(value))) return [];
    return [{ x: x(value).toFixed(1), low: y(low).toFixed(1), high: y(high).toFixed(1) }];
  });
  if (points.length === 0) return "";
  const upper = points.map((point) => `${point.x} ${point.high}`);
  const lower = points.reverse().map((point) => `${point.x} ${point.low}`);
  return `M${[...upper, ...lower].join("L")}Z`;
}

export function Legend({ series }: { series: readonly Series[] }) {
  return (
    <ul className="legend">
      {series.map((item, i) => (
        <li key={i}>
          <svg width="28" height="14" viewBox="-14 -7 28 14" aria-hidden="true" className={styleOf(item, i)}>
            <path className="line" d="M-13 0H13" />
            {!item.reference && <path className="marker" d={MARKERS[i % MARKERS.length]} />}
          </svg>
          {item.name}
        </li>
      ))}
    </ul>
  );
}
