import { memo, useId, useMemo, useState, type PointerEvent } from "react";
import type { CountryValue, WorldMap } from "../audit";
import { colorScale } from "../drawing/color";
import { formatNumber } from "../drawing/format";
import world from "../drawing/world.json";
import { useWidth } from "../hooks";
import { ColorBar } from "./ColorBar";
import { DataTable } from "./DataTable";

const PATHS = Object.entries(world.countries);
const DOTS = Object.entries(world.dots as unknown as Record<string, [number, number]>);
const DRAWN = new Set([...PATHS, ...DOTS].map(([code]) => code));
const COUNTRY_NAMES = new Intl.DisplayNames("en", { type: "region", fallback: "code" });

/** Countries in the color of their value; those without a value are hatched, and very small ones are dots. */
export function WorldMapView({ map, printing }: { map: WorldMap; printing: boolean }) {
  const [box, width] = useWidth<HTMLElement>(700);
  const [hovered, setHovered] = useState<string | null>(null);
  const hatch = useId();
  const { low, high, diverging } = map;
  const scale = useMemo(() => colorScale(low ?? 0, high ?? 1, diverging), [low, high, diverging]);
  const byCode = useMemo(() => new Map(map.countries.map((country) => [country.code, country])), [map]);
  const fills = useMemo(
    () => new Map(map.countries.flatMap(({ code, value }) => (value === null ? [] : [[code, `rgb(${scale.color(value)})`]]))),
    [map, scale],
  );
  const pixel = world.width / width; // one CSS pixel in map units
  const notDrawn = map.countries.filter(({ code }) => !DRAWN.has(code));
  const showValue = (event: PointerEvent<SVGElement>) => setHovered((event.target as SVGElement).dataset.code ?? null);
  return (
    <div className="evidence world">
      <h4>{map.title}</h4>
      <div className="world-legend">
        <ColorBar scale={scale} label={map.scale_label} />
        <span className="legend-item">
          <AbsentSwatch /> {map.absent}
        </span>
      </div>
      <figure ref={box}>
        <svg
          className="world-map"
          viewBox={`0 0 ${world.width} ${world.height}`}
          role="img"
          aria-label={map.alt || map.title}
          onPointerMove={showValue}
          onPointerDown={showValue}
          onPointerLeave={() => setHovered(null)}
        >
          <defs>
            <pattern id={hatch} width={5 * pixel} height={5 * pixel} patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
              <rect className="world-absent" width={5 * pixel} height={5 * pixel} />
              <line className="world-hatch" y2={5 * pixel} strokeWidth={1.1 * pixel} />
            </pattern>
          </defs>
          <Countries {...{ fills, hatch }} stroke={0.5 * pixel} radius={3.2 * pixel} />
          {hovered && <Outline code={hovered} stroke={1.8 * pixel} radius={3.2 * pixel} />}
        </svg>
        <figcaption>
          <span className="note world-readout">
            {hovered ? describe(hovered, byCode.get(hovered), map) : "Hover over or tap a country to see its value."}
          </span>
          {map.caption}
          {notDrawn.length > 0 && ` Not on the map: ${notDrawn.map((country) => country.name).join(", ")}.`}
        </figcaption>
      </figure>
      <DataTable
        printing={printing}
        columns={["Country", "Value", "Note"]}
        rows={map.countries.map(({ name, value, note }) => [name, value, note])}
      />
    </div>
  );
}

interface CountriesProps {
  fills: ReadonlyMap<string, string>;
  hatch: string;
  stroke: number;
  radius: number;
}

/** Not rendered again when the pointer moves. Dots with a value are drawn last, so that no other dot hides them. */
const Countries = memo(function Countries({ fills, hatch, stroke, radius }: CountriesProps) {
  const dots = [...DOTS].sort(([a], [b]) => Number(fills.has(a)) - Number(fills.has(b)));
  return (
    <g className="world-countries" strokeWidth={stroke}>
      {PATHS.map(([code, path]) => (
        <path key={code} data-code={code} d={path} fill={fills.get(code) ?? `url(#${hatch})`} />
      ))}
      {dots.map(([code, [x, y]]) => (
        <circle
          key={code}
          data-code={code}
          className={fills.has(code) ? "world-dot" : "world-dot world-dot-absent"}
          cx={x}
          cy={y}
          r={fills.has(code) ? radius : radius * 0.45}
          fill={fills.get(code)}
        />
      ))}
    </g>
  );
});

function Outline({ code, stroke, radius }: { code: string; stroke: number; radius: number }) {
  const path = (world.countries as Record<string, string>)[code];
  const dot = DOTS.find(([name]) => name === code)?.[1];
  return path ? (
    <path className="world-outline" d={path} strokeWidth={stroke} />
  ) : dot ? (
    <circle className="world-outline" cx={dot[0]} cy={dot[1]} r={radius} strokeWidth={stroke} />
  ) : null;
}

function describe(code: string, country: CountryValue | undefined, map: WorldMap): string {
  if (!country) return `${COUNTRY_NAMES.of(code)}: ${map.absent}`;
  return `${country.name}: ${formatNumber(country.value)}${country.note ? ` (${country.note})` : ""}`;
}

function AbsentSwatch() {
  const hatch = useId();
  return (
    <svg className="world-swatch" width="26" height="12" aria-hidden="true">
      <pattern id={hatch} width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
        <line className="world-hatch" y2="5" strokeWidth="1.1" />
      </pattern>
      <rect className="world-absent" x="0.5" y="0.5" width="25" height="11" />
      <rect className="world-swatch-frame" x="0.5" y="0.5" width="25" height="11" fill={`url(#${hatch})`} />
    </svg>
  );
}
