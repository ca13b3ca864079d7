import { useState, type PointerEvent } from "react";
import type { Curve } from "../audit";
import { formatNumber, formatTicks, type Maybe } from "../drawing/format";
import { extent, known, linear, logarithmic, logTicks, nice, ticks, type Domain } from "../drawing/scale";
import { useWidth } from "../hooks";
import { Legend, LineOf, MARKERS } from "./CurveLines";
import { Numbers } from "./Numbers";

const HEIGHT = 300;
const MARGIN = { top: 12, right: 16, bottom: 46, left: 58 };

/** Lines over a common axis, with their intervals as bands. */
export function CurveView({ curve, printing }: { curve: Curve; printing: boolean }) {
  const [box, width] = useWidth<HTMLDivElement>(640);
  const [at, setAt] = useState<number | null>(null);
  const { x, y, xTicks, yTicks } = scalesOf(curve, width);
  const yTexts = formatTicks(yTicks);
  // Along a log axis each number has its own size, so each is written in its own way.
  const xTexts = curve.x_scale === "log" ? xTicks.map(formatNumber) : formatTicks(xTicks);
  const places = placesOf(measured(curve));

  const read = (event: PointerEvent<SVGElement>) => {
    const pointer = event.clientX - event.currentTarget.getBoundingClientRect().left;
    const distance = (place: number) => Math.abs(x(place) - pointer);
    setAt(places.length > 0 ? places.reduce((best, place) => (distance(place) < distance(best) ? place : best)) : null);
  };
  return (
    <div className="evidence curve">
      <h4>{curve.title}</h4>
      <Legend series={curve.series} />
      <div ref={box} className="plot">
        <svg
          width={width}
          height={HEIGHT}
          role="img"
          aria-label={described(curve)}
          onPointerMove={read}
          onPointerDown={read}
          onPointerLeave={() => setAt(null)}
        >
          {yTicks.map((tick, i) => (
            <g key={tick} transform={`translate(0 ${y(tick)})`}>
              <line className="grid-line" x1={MARGIN.left} x2={width - MARGIN.right} />
              <text className="tick" x={MARGIN.left - 9} dy="0.32em" textAnchor="end">
                {yTexts[i]}
              </text>
            </g>
          ))}
          {xTicks.map((tick, i) => (
            <g key={tick} transform={`translate(${x(tick)} ${HEIGHT - MARGIN.bottom})`}>
              <line className="axis-line" y2="5" />
              <text className="tick" y="18" textAnchor="middle">
                {xTexts[i]}
              </text>
            </g>
          ))}
          <line
            className="axis-line"
            x1={MARGIN.left}
            x2={width - MARGIN.right}
            y1={HEIGHT - MARGIN.bottom}
            y2={HEIGHT - MARGIN.bottom}
          />
          <text className="axis-label" x={(MARGIN.left + width - MARGIN.right) / 2} y={HEIGHT - 6} textAnchor="middle">
            {curve.x_label}
          </text>
          <text
            className="axis-label"
            transform={`translate(14 ${(HEIGHT - MARGIN.bottom + MARGIN.top) / 2}) rotate(-90)`}
            textAnchor="middle"
          >
            {curve.y_label}
          </text>
          {at !== null && <line className="cursor" x1={x(at)} x2={x(at)} y1={MARGIN.top} y2={HEIGHT - MARGIN.bottom} />}
          {curve.series.map((series, i) => (
            <LineOf key={i} series={series} index={i} x={x} y={y} />
          ))}
        </svg>
        {at !== null && <Readout curve={curve} at={at} right={x(at) < width / 2} />}
      </div>
      <Numbers printing={printing} {...numbersOf(curve)} />
    </div>
  );
}

function scalesOf(curve: Curve, width: number) {
  const log = curve.x_scale === "log";
  const xs = known(curve.series.flatMap((series) => series.x)).filter((value) => !log || value > 0);
  const ys = known(curve.series.flatMap(({ y, low, high }) => [...y, ...(low ?? []), ...(high ?? [])]));
  const xDomain = extent(xs);
  const fixed = curve.y_range?.filter((value) => value !== null) ?? [];
  const yDomain: Domain = fixed.length === 2 ? [fixed[0]!, fixed[1]!] : nice(extent(ys));
  const across: Domain = [MARGIN.left, width - MARGIN.right];
  const many = Math.max(3, Math.floor(width / 90));
  return {
    x: log && xs.length > 0 ? logarithmic(xDomain, across) : linear(xDomain, across),
    y: linear(yDomain, [HEIGHT - MARGIN.bottom, MARGIN.top]),
    xTicks: log && xs.length > 0 ? logTicks(xDomain, many) : ticks(xDomain, many),
    yTicks: ticks(yDomain, 5),
  };
}

function Readout({ curve, at, right }: { curve: Curve; at: number; right: boolean }) {
  return (
    <div className={right ? "readout at-right" : "readout at-left"}>
      <strong>
        {curve.x_label} {formatNumber(at)}
      </strong>
      {curve.series.map((series, i) => {
        const index = series.x.indexOf(at);
        return index < 0 || series.reference ? null : (
          <span key={i}>
            <span className={`series-${(i % MARKERS.length) + 1} readout-name`}>{series.name}</span>{" "}
            {withInterval(series.y[index], series.low?.[index], series.high?.[index])}
          </span>
        );
      })}
    </div>
  );
}

function withInterval(value: Maybe = null, low: Maybe = null, high: Maybe = null): string {
  const interval = low !== null && high !== null ? ` (${formatNumber(low)} to ${formatNumber(high)})` : "";
  return formatNumber(value) + interval;
}

function described({ title, x_label, y_label, series }: Curve): string {
  const lines = series.map(({ name, x, y }) => {
    const ends = [y[0], y.at(-1)].map((value) => formatNumber(value ?? null));
    return y.length === 0 ? `${name}: no points` : `${name}: from ${ends[0]} at ${formatNumber(x[0] ?? null)} to ${ends[1]} at ${formatNumber(x.at(-1) ?? null)}`;
  });
  return `${title}. ${y_label} over ${x_label}. ${lines.join(". ")}.`;
}

const measured = ({ series }: Curve) => series.filter((one) => !one.reference);

function placesOf(lines: Curve["series"]): number[] {
  return [...new Set(known(lines.flatMap((series) => series.x)))].sort((a, b) => a - b);
}

function numbersOf(curve: Curve): { columns: string[]; rows: (string | Maybe)[][] } {
  const lines = measured(curve);
  return {
    columns: [curve.x_label, ...lines.map((series) => series.name)],
    rows: placesOf(lines).map((place) => [
      place,
      ...lines.map((series) => {
        const i = series.x.indexOf(place);
        return i < 0 ? null : withInterval(series.y[i], series.low?.[i], series.high?.[i]);
      }),
    ]),
  };
}
