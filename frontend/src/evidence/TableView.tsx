import { useContext, useId, useState } from "react";
import type { Column, Picture, Table } from "../audit";
import { formatNumber, formatRange, formatShare, MISSING, type Unit } from "../drawing/format";
import { LinksContext } from "../links";
import { PictureView } from "./PictureView";

type Cell = Table["rows"][number][number];
interface Sorting {
  column: number;
  descending: boolean;
}

const FIRST_ROWS = 12;
const MANY_COLUMNS = 8;
const NUMERIC: ReadonlySet<Column["kind"]> = new Set(["number", "share", "probability"]);
const isPicture = (cell: Cell | undefined): cell is Picture =>
  cell !== null && typeof cell === "object" && !Array.isArray(cell);

/** The value that a cell is sorted by; null is last in both directions. */
function sortKey(cell: Cell | undefined): string | number | null {
  if (cell === undefined || cell === null) return null;
  if (Array.isArray(cell)) return cell[0] ?? null;
  return isPicture(cell) ? cell.alt : cell;
}

function sorted(rows: Table["rows"], sorting: Sorting | null): Table["rows"] {
  if (!sorting) return rows;
  const collator = new Intl.Collator("en", { numeric: true });
  const sign = sorting.descending ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [left, right] = [sortKey(a[sorting.column]), sortKey(b[sorting.column])];
    if (left === null || right === null) return Number(left === null) - Number(right === null);
    if (typeof left === "number" && typeof right === "number") return sign * (left - right);
    return sign * collator.compare(String(left), String(right));
  });
}

/** One direction, the other, then the original order. Numbers start in descending order, text in ascending order. */
function nextSorting(current: Sorting | null, column: number, kind: Column["kind"]): Sorting | null {
  const descendingFirst = kind !== "text" && kind !== "picture";
  if (current?.column !== column) return { column, descending: descendingFirst };
  return current.descending === descendingFirst ? { column, descending: !descendingFirst } : null;
}

/** An interval has the unit of the nearest column of numbers to its left. */
function unitOfInterval(columns: readonly Column[], index: number): Unit {
  const kind = columns.slice(0, index).findLast((column) => NUMERIC.has(column.kind))?.kind;
  return kind === "number" || kind === "probability" ? "number" : "share";
}

/** A table that can be sorted by any column. A long table is collapsed to its first rows. */
export function TableView({ table, printing }: { table: Table; printing: boolean }) {
  const [sorting, setSorting] = useState<Sorting | null>(null);
  const [showAll, setShowAll] = useState(false);
  const title = useId();
  const rows = sorted(table.rows, sorting);
  const shown = showAll || printing ? rows : rows.slice(0, FIRST_ROWS);
  const units = table.columns.map((_, i) => unitOfInterval(table.columns, i));
  const bars = table.columns.map((column, i) => column.kind === "share" && hasBars(table.rows, i));
  return (
    <div className="evidence">
      <h4 id={title}>{table.title}</h4>
      <div className="scroll" role="region" aria-labelledby={title} tabIndex={0}>
        <table className={table.columns.length >= MANY_COLUMNS ? "data many" : "data"}>
          <thead>
            <tr>
              {table.columns.map((column, i) => (
                <HeaderCell
                  key={i}
                  column={column}
                  descending={sorting?.column === i ? sorting.descending : null}
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
                    <CellView cell={row[j]} column={column} unit={units[j]!} bar={bars[j]!} />
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
        {rows.length === 0 && <p className="quiet">No rows.</p>}
      </div>
      {rows.length > FIRST_ROWS && !printing && (
        <button type="button" className="link more" aria-expanded={showAll} onClick={() => setShowAll(!showAll)}>
          {showAll ? `Show only the first ${FIRST_ROWS} rows` : `Show all ${rows.length} rows`}
        </button>
      )}
    </div>
  );
}

interface HeaderCellProps {
  column: Column;
  descending: boolean | null;
  onSort: () => void;
  printing: boolean;
}

function HeaderCell({ column, descending, onSort, printing }: HeaderCellProps) {
  // Browsers omit buttons from the table headers that they repeat on each printed page.
  if (printing) return <th className={`cell-${column.kind}`}>{column.name}</th>;
  const direction = descending === null ? "none" : descending ? "descending" : "ascending";
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

interface CellViewProps {
  cell: Cell | undefined;
  column: Column;
  unit: Unit;
  bar: boolean;
}

function CellView({ cell, column, unit, bar }: CellViewProps) {
  const links = useContext(LinksContext);
  if (cell === undefined || cell === null) return <span className="quiet">{MISSING}</span>;
  if (isPicture(cell)) return <PictureView picture={cell} className="thumbnail" />;
  if (Array.isArray(cell)) return formatRange(unit, cell[0] ?? null, cell[1] ?? null);
  if (typeof cell === "string") return links.cell(column.name, cell);
  if (column.kind !== "share") return formatNumber(cell);
  return (
    <span className="share">
      {bar && (
        <span className="share-track" aria-hidden="true">
          <span style={{ width: `${100 * cell}%` }} />
        </span>
      )}
      <span className="share-value">{formatShare(cell)}</span>
    </span>
  );
}
