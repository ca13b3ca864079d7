import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, type ReactNode, useEffect, useLayoutEffect, useRef, useState } from "react";
import { Link } from "wouter";
import type { UnitRow } from "../../api";
import { caption, flags } from "./sorting";

const GAP = 8;
const LINE = 18;

interface Props {
  units: readonly UnitRow[];
  order: string;
  size: number;
  href: (unit: number) => string;
  tile: (unit: number) => ReactNode;
}

/** Many units as a grid of links, of which only those in sight are drawn. One is in the tab order; arrows move to the others. */
export function UnitGrid({ units, order, size, href, tile }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const [top, setTop] = useState(0);
  const [current, setCurrent] = useState(0);
  const moved = useRef(false);
  useLayoutEffect(() => {
    const box = frame.current;
    if (!box) return;
    const measure = () => {
      setWidth(box.clientWidth);
      setTop(box.getBoundingClientRect().top + window.scrollY);
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(box);
    return () => observer.disconnect();
  }, []);
  const columns = Math.max(1, Math.floor((width + GAP) / (size + GAP)));
  const captioned = units.some((unit) => caption(unit, order));
  const height = size + (captioned ? 2 : 1) * LINE + GAP;
  const rows = useWindowVirtualizer({
    count: Math.ceil(units.length / columns),
    estimateSize: () => height,
    overscan: 2,
    scrollMargin: top,
  });
  useEffect(() => rows.measure(), [rows, height]);
  const place = Math.min(current, Math.max(0, units.length - 1));
  useEffect(() => {
    if (!moved.current) return;
    moved.current = false;
    rows.scrollToIndex(Math.floor(place / columns));
    requestAnimationFrame(() => frame.current?.querySelector<HTMLElement>('[tabindex="0"]')?.focus());
  }, [place, columns, rows]);

  const press = (event: KeyboardEvent) => {
    const steps: Record<string, number> = {
      ArrowRight: 1,
      j: 1,
      ArrowLeft: -1,
      k: -1,
      ArrowDown: columns,
      ArrowUp: -columns,
      Home: -place,
      End: units.length - 1 - place,
    };
    const step = steps[event.key];
    if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const next = Math.min(units.length - 1, Math.max(0, place + step));
    moved.current = next !== place;
    setCurrent(next);
  };

  return (
    <div ref={frame} className="grid" role="list" aria-label="Units" onKeyDown={press} style={{ height: rows.getTotalSize() }}>
      {width > 0 &&
        rows.getVirtualItems().map((row) =>
          units.slice(row.index * columns, (row.index + 1) * columns).map((unit, column) => {
            const number = row.index * columns + column;
            return (
              <div
                key={unit.unit}
                role="listitem"
                className="cell"
                style={{ width: size, transform: `translate(${column * (size + GAP)}px, ${row.start - top}px)` }}
              >
                <Link
                  href={href(unit.unit)}
                  tabIndex={number === place ? 0 : -1}
                  onFocus={() => setCurrent(number)}
                >
                  {tile(unit.unit) ?? (
                    <span className="tile empty" aria-hidden="true" style={{ width: size, height: size }}>
                      {size > 80 ? "not drawn" : ""}
                    </span>
                  )}
                  <span className="cell-name">
                    <span className="only-read">Unit</span> {unit.name}
                    {flags(unit).length > 0 && <span className="cell-flag"> {flags(unit).join(", ")}</span>}
                  </span>
                  <span className="cell-caption">{caption(unit, order)}</span>
                </Link>
              </div>
            );
          }),
        )}
    </div>
  );
}
