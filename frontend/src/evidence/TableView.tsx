import { useId, useState } from "react";
import type { Column, Picture, Table } from "../audit";
import { formatNumber, formatShare, formatShareRange, MISSING } from "../drawing/format";
import { PictureView } from "./PictureView";

type Cell = Table["rows"][number][number];
interface Sorting {
  column: number;
  down: boolean;
}

const FIRST_ROWS = 12;
const isPicture = (cell: Cell | undefined): cell is Picture =>
  cell !== null && typeof cell === "object" && !Array.isArray(cell);

/** What a cell is sorted by; null goes last in either direction. */
function sortKey(cell: Cell | undefined): string | number | null {
  if (cell === undefined || cell === null) return null;
  if (Array.isArray(cell)) return cell[0] ?? null;
  return isPicture(cell) ? cell.alt : cell;
}

function sorted(rows: Table["rows"], sorting: Sorting | null): Table["rows"] {
  if (!sorting) return rows;
  const collator = new Intl.Collator("en", { numeric: true });
  const sign = sorting.down ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [left, right] = [sortKey(a[sorting.column]), sortKey(b[sorting.column])];
    if (left === null || right === null) return Number(left === null) - Number(right === null);
    if (typeof left === "number" && typeof right === "number") return sign * (left - right);
    return sign * collator.compare(String(left), String(right));
  });
}

/** Up, down, and back to the order in which the check wrote the rows. Numbers start with the largest. */
function nextSorting(now: Sorting | null, column: number, kind: Column["kind"]): Sorting | null {
  const firstDown = kind !== "text" && kind !== "picture";
  if (now?.column !== column) return { column, down: firstDown };
  return now.down === firstDown ? { column, down: !firstDown } : null;
}

/** Rows that can be sorted by any column. Long tables begin with their first rows. */
export function TableView({ table, printing }: { table: Table; printing: boolean }) {
  const [sorting, setSorting] = useState<Sorting | null>(null);
  const [all, setAll] = useState(false);
  const title = useId();
  const rows = sorted(table.rows, sorting);
  const shown = all || printing ? rows : rows.slice(0, FIRST_ROWS);
  const bars = table.columns.map((column, i) => column.kind === "share" && hasBars(table.rows, i));
  return (
    <div className="evidence">
      <h4 id={title}>{table.title}</h4>
      <div className="scroll" role="region" aria-labelledby={title} tabIndex={0}>
        <table className="data">
          <thead>
            <tr>
              {table.columns.map((column, i) => (
                <HeaderCell
                  key={i}
                  column={column}
                  down={sorting?.column === i ? sorting.down : null}
                  onSort={() => setSorting(nextSorting(sorting, i, column.kind))}
                  printing={printing}
                />
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.map((row, i) => (
              <tr key={i}>
                {table.columns.map((column, j) => (
                  <td key={j} className={`cell-${column.kind}`}>
                    <CellView cell={row[j]} kind={column.kind} bar={bars[j]!} />
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
        {rows.length === 0 && <p className="quiet">No rows.</p>}
      </div>
      {rows.length > FIRST_ROWS && !printing && (
        <button type="button" className="link more" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? `Show the first ${FIRST_ROWS}` : `Show all ${rows.length} rows`}
        </button>
      )}
    </div>
  );
}

interface HeaderCellProps {
  column: Column;
  down: boolean | null;
  onSort: () => void;
  printing: boolean;
}

function HeaderCell({ column, down, onSort, printing }: HeaderCellProps) {
  // Browsers leave buttons out of the heads that they repeat on every page.
  if (printing) return <th className={`cell-${column.kind}`}>{column.name}</th>;
  const direction = down === null ? "none" : down ? "descending" : "ascending";
  return (
    <th scope="col" aria-sort={direction} className={`cell-${column.kind}`}>
      <button type="button" onClick={onSort}>
        {column.name}
        <svg className={`sort-mark sort-${direction}`} viewBox="0 0 8 12" aria-hidden="true">
          <path className="up" d="M4 0l3.5 5h-7z" />
          <path className="down" d="M4 12L.5 7h7z" />
        </svg>
      </button>
    </th>
  );
}

function hasBars(rows: Table["rows"], column: number): boolean {
  return rows.every((row) => {
    const cell = row[column];
    return typeof cell !== "number" || (cell >= 0 && cell <= 1);
  });
}

function CellView({ cell, kind, bar }: { cell: Cell | undefined; kind: Column["kind"]; bar: boolean }) {
  if (cell === undefined || cell === null) return <span className="quiet">{MISSING}</span>;
  if (isPicture(cell)) return <PictureView picture={cell} className="thumbnail" />;
  if (Array.isArray(cell)) return formatShareRange(cell[0] ?? null, cell[1] ?? null);
  if (typeof cell === "string") return cell;
  if (kind !== "share") return formatNumber(cell);
  return (
    <span className="share">
      {bar && (
        <span className="share-track" aria-hidden="true">
          <span style={{ width: `${100 * cell}%` }} />
        </span>
      )}
      {formatShare(cell)}
    </span>
  );
}
