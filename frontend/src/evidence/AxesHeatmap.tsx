import { useId, useMemo, useState, type PointerEvent } from "react";
import type { Heatmap } from "../audit";
import { textColorOn, type ColorScale } from "../drawing/color";
import { formatNumber } from "../drawing/format";
import { cellAt, paint } from "../drawing/heat";
import { useWidth } from "../hooks";
import { DataTable } from "./DataTable";

interface Props {
  heatmap: Heatmap;
  scale: ColorScale;
  xLabel: string;
  yLabel: string;
  printing: boolean;
}

const MOST_HEIGHT = 340; // of a map whose rows stay readable
const LEAST_CELL_HEIGHT = 20;
const CHAR_WIDTH = 6.6; // approximate, in tick labels
const longest = (labels: readonly string[]) => Math.max(0, ...labels.map((label) => label.length));
const truncate = (label: string) => (label.length > 22 ? `${label.slice(0, 21)}…` : label);

/** A grid of numbers over labelled axes: one colored square per cell, with its number if it fits. */
export function AxesHeatmap({ heatmap, scale, xLabel, yLabel, printing }: Props) {
  const [box, available] = useWidth<HTMLElement>(600);
  const [readout, setReadout] = useState<string | null>(null);
  const hatch = useId();
  const { values } = heatmap;
  const painted = useMemo(() => paint(values, scale, 1), [values, scale]);

  const xTicks = (heatmap.x_ticks ?? []).map(truncate);
  const yTicks = (heatmap.y_ticks ?? []).map(truncate);
  const [rows, columns] = [Math.max(1, values.length), Math.max(1, values[0]?.length ?? 0)];
  const left = 12 + longest(yTicks) * CHAR_WIDTH + (yLabel ? 20 : 0);
  const cell = Math.max(3, Math.min(52, (available - left - 12) / columns));
  const slanted = longest(xTicks) * CHAR_WIDTH > (cell * columns) / Math.max(1, xTicks.length);
  const bottom = 14 + (slanted ? longest(xTicks) * CHAR_WIDTH * 0.72 + 10 : 14);
  const cellHeight = Math.min(cell, Math.max(LEAST_CELL_HEIGHT, MOST_HEIGHT / rows));
  const [width, height] = [cell * columns, cellHeight * rows];
  const step = slanted ? Math.ceil(15 / cell) : 1;
  const size = { width: left + width + 12, height: height + bottom + (xLabel ? 20 : 0) };

  const showValue = (event: PointerEvent<SVGElement>) => {
    const area = event.currentTarget.getBoundingClientRect();
    const hovered = cellAt(values, (event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height);
    const labels = [heatmap.y_ticks?.[hovered.row], heatmap.x_ticks?.[hovered.column]].filter(Boolean).join(", ");
    const value = hovered.value === null ? "not measured" : formatNumber(hovered.value);
    setReadout(`${labels || `row ${hovered.row + 1}, column ${hovered.column + 1}`}: ${value}`);
  };
  return (
    <figure ref={box} className="axes-heatmap">
      <svg
        {...size}
        viewBox={`0 0 ${size.width} ${size.height}`}
        role="img"
        aria-label={heatmap.alt || heatmap.caption || "Heatmap"}
      >
        <defs>
          <pattern id={hatch} width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
            <line className="hatch" x1="0" y1="0" x2="0" y2="6" />
          </pattern>
        </defs>
        <g transform={`translate(${left} 1)`}>
          <rect width={width} height={height} fill={`url(#${hatch})`} />
          <image
            href={painted}
            width={width}
            height={height}
            preserveAspectRatio="none"
            className="pixelated"
            onPointerMove={showValue}
            onPointerDown={showValue}
            onPointerLeave={() => setReadout(null)}
          />
          <rect className="frame" width={width} height={height} />
          <CellNumbers {...{ values, scale, cell, cellHeight }} />
          {yTicks.map((tick, i) => (
            <text key={i} className="tick" x={-8} y={((i + 0.5) * height) / yTicks.length} dy="0.32em" textAnchor="end">
              {tick}
            </text>
          ))}
          {xTicks.map((tick, i) => {
            const x = ((i + 0.5) * width) / xTicks.length;
            const transform = slanted ? `translate(${x + 4} ${height + 12}) rotate(-45)` : `translate(${x} ${height + 17})`;
            return i % step !== 0 ? null : (
              <text key={i} className="tick" transform={transform} textAnchor={slanted ? "end" : "middle"}>
                {tick}
              </text>
            );
          })}
          {xLabel && (
            <text className="axis-label" x={width / 2} y={height + bottom + 12} textAnchor="middle">
              {xLabel}
            </text>
          )}
          {yLabel && (
            <text className="axis-label" transform={`translate(${14 - left} ${height / 2}) rotate(-90)`} textAnchor="middle">
              {yLabel}
            </text>
          )}
        </g>
      </svg>
      <figcaption>
        {heatmap.caption} <span className="note">{readout ?? "\u00a0"}</span>
      </figcaption>
      <DataTable
        printing={printing}
        columns={["", ...values[0]?.map((_, i) => heatmap.x_ticks?.[i] ?? String(i + 1)) ?? []]}
        rows={values.map((row, i) => [heatmap.y_ticks?.[i] ?? String(i + 1), ...row])}
      />
    </figure>
  );
}

interface CellNumbersProps {
  values: Heatmap["values"];
  scale: ColorScale;
  cell: number;
  cellHeight: number;
}

function CellNumbers({ values, scale, cell, cellHeight }: CellNumbersProps) {
  const widest = longest(values.flat().map((value) => (value === null ? "" : formatNumber(value))));
  if (cell < Math.max(24, widest * CHAR_WIDTH + 6)) return null; // hovering shows the number
  return values.flatMap((row, y) =>
    row.map((value, x) =>
      value === null ? null : (
        <text
          key={`${y}.${x}`}
          className="heat-number"
          x={(x + 0.5) * cell}
          y={(y + 0.5) * cellHeight}
          dy="0.33em"
          fill={textColorOn(scale.color(value))}
        >
          {formatNumber(value)}
        </text>
      ),
    ),
  );
}
