import { useState, type PointerEvent } from "react";
import type { Curve } from "../audit";
import { formatNumber, formatTicks, type Maybe } from "../drawing/format";
import { extent, known, linear, logarithmic, logTicks, nice, ticks, type Domain } from "../drawing/scale";
import { useWidth } from "../hooks";
import { Legend, MARKERS, SeriesLine } from "./CurveLines";
import { DataTable } from "./DataTable";

const HEIGHT = 240;
const MARGIN = { top: 12, right: 16, bottom: 46, left: 58 };

/** Lines over a common x axis, with their intervals as bands. */
export function CurveView({ curve, printing }: { curve: Curve; printing: boolean }) {
  const [box, width] = useWidth<HTMLDivElement>(640);
  const [hovered, setHovered] = useState<number | null>(null);
  const { x, y, xTicks, yTicks } = scalesOf(curve, width);
  const yTexts = formatTicks(yTicks);
  // Ticks of a log axis differ in magnitude, so they do not get the same number of decimal places.
  const xTexts = curve.x_scale === "log" ? xTicks.map(formatNumber) : formatTicks(xTicks);
  const xValues = xValuesOf(measured(curve));

  const showValues = (event: PointerEvent<SVGElement>) => {
    const pointer = event.clientX - event.currentTarget.getBoundingClientRect().left;
    const distance = (value: number) => Math.abs(x(value) - pointer);
    const nearest = (best: number, value: number) => (distance(value) < distance(best) ? value : best);
    setHovered(xValues.length > 0 ? xValues.reduce(nearest) : null);
  };
  return (
    <div className="evidence curve">
      <h4>{curve.title}</h4>
      <Legend series={curve.series} />
      <div ref={box} className="plot">
        <svg
          width={width}
          height={HEIGHT}
          viewBox={`0 0 ${width} ${HEIGHT}`}
          role="img"
          aria-label={describe(curve)}
          onPointerMove={showValues}
          onPointerDown={showValues}
          onPointerLeave={() => setHovered(null)}
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
          {hovered !== null && <line className="cursor" x1={x(hovered)} x2={x(hovered)} y1={MARGIN.top} y2={HEIGHT - MARGIN.bottom} />}
          {curve.series.map((series, i) => (
            <SeriesLine key={i} series={series} index={i} x={x} y={y} />
          ))}
        </svg>
        {hovered !== null && <Readout curve={curve} at={hovered} right={x(hovered) < width / 2} />}
      </div>
      <DataTable printing={printing} {...tableOf(curve)} />
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

function describe({ title, x_label, y_label, series }: Curve): string {
  const lines = series.map(({ name, x, y }) => {
    if (y.length === 0) return `${name}: no points`;
    const [first, last] = [0, -1].map((i) => `${formatNumber(y.at(i) ?? null)} at ${formatNumber(x.at(i) ?? null)}`);
    return `${name}: from ${first} to ${last}`;
  });
  return `${title}. ${y_label} against ${x_label}. ${lines.join(". ")}.`;
}

const measured = ({ series }: Curve) => series.filter(({ reference }) => !reference);

function xValuesOf(lines: Curve["series"]): number[] {
  return [...new Set(known(lines.flatMap((series) => series.x)))].sort((a, b) => a - b);
}

function tableOf(curve: Curve): { columns: string[]; rows: (string | Maybe)[][] } {
  const lines = measured(curve);
  return {
    columns: [curve.x_label, ...lines.map((series) => series.name)],
    rows: xValuesOf(lines).map((value) => [
      value,
      ...lines.map((series) => {
        const i = series.x.indexOf(value);
        return i < 0 ? null : withInterval(series.y[i], series.low?.[i], series.high?.[i]);
      }),
    ]),
  };
}
