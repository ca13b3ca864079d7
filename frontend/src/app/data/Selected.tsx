import { useVirtualizer } from "@tanstack/react-virtual";
import { useRef } from "react";
import type { Thumbnails } from "../../api";
import { formatCount } from "../../drawing/format";
import { type Fact, type Images, inWords } from "./table";
import { Thumbnail } from "./Thumbnail";

const ROW = 52; // Pixels.

interface Props {
  images: Images;
  thumbnails: Thumbnails;
  rows: readonly number[];
  facts: readonly Fact[];
  picked: number | null;
  onPick: (row: number) => void;
  onClear: () => void;
}

/** The selected images as a table, of which only the rows in sight are drawn. */
export function Selected({ images, thumbnails, rows, facts, picked, onPick, onClear }: Props) {
  const scroll = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({ count: rows.length, getScrollElement: () => scroll.current, estimateSize: () => ROW, overscan: 6 });
  const columns = { gridTemplateColumns: `56px minmax(9rem, 2fr) repeat(${facts.length}, minmax(5.5rem, 1fr))` };
  return (
    <section className="selected" aria-label="Selected images">
      <div className="selected-head">
        <h2 role="status">{formatCount(rows.length, "image")} selected</h2>
        <button type="button" className="link" onClick={onClear}>
          Select none
        </button>
      </div>
      <div ref={scroll} className="selected-scroll" role="region" aria-label="Table of the selected images" tabIndex={0}>
        <div role="table" aria-rowcount={rows.length + 1} aria-label="Selected images" className="selected-table">
          <div role="row" aria-rowindex={1} className="selected-row selected-names" style={columns}>
            <span role="columnheader">Picture</span>
            <span role="columnheader">Path</span>
            {facts.map((fact) => (
              <span key={fact.name} role="columnheader">
                {fact.name}
              </span>
            ))}
          </div>
          <div role="rowgroup" className="selected-body" style={{ height: virtual.getTotalSize() }}>
            {virtual.getVirtualItems().map(({ index, start }) => {
              const row = rows[index]!;
              return (
                <div
                  key={row}
                  role="row"
                  aria-rowindex={index + 2}
                  className={row === picked ? "selected-row selected-picked" : "selected-row"}
                  style={{ ...columns, height: ROW, transform: `translateY(${start}px)` }}
                >
                  <span role="cell">
                    <Thumbnail thumbnails={thumbnails} row={row} side={44} />
                  </span>
                  <span role="cell">
                    <button type="button" className="link" aria-pressed={row === picked} onClick={() => onPick(row)}>
                      {images.paths[row]}
                    </button>
                  </span>
                  {facts.map((fact) => (
                    <span key={fact.name} role="cell">
                      {inWords(fact, row)}
                    </span>
                  ))}
                </div>
              );
            })}
          </div>
        </div>
      </div>
    </section>
  );
}
