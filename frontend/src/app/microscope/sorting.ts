/** Which units of a layer are shown, in which order, and the caption of each. */
import type { Sheet, UnitRow, UnitView } from "../../api";
import { formatCount, formatNumber, formatShare } from "../../drawing/format";
import type { Technique } from "./places";

export const ORDERS: readonly (readonly [string, string])[] = [
  ["number", "Number"],
  ["trust", "Trust in its picture"],
  ["purity", "Purity of its best word"],
  ["sparsity", "Sparsity"],
  ["wins", "Wins"],
  ["high", "Highest activation"],
  ["like", "Most like unit …"],
];

const KEYS: Record<string, (row: UnitRow) => number | null> = {
  trust: (row) => row.trust,
  purity: (row) => row.purity,
  sparsity: (row) => row.lifetime_sparsity,
  wins: (row) => row.wins,
  high: (row) => row.high,
};

/** Units that match the search, in an order; units without a value come last. */
export function arrange(units: readonly UnitRow[], order: string, wanted: string, like: UnitView | null): UnitRow[] {
  const found = units.filter((row) => fits(row, wanted.trim().toLowerCase()));
  if (order === "like") {
    if (!like) return found;
    const place = new Map([[like.unit, -1], ...like.similar.map(({ unit }, rank) => [unit, rank] as const)]);
    return found.filter((row) => place.has(row.unit)).sort((a, b) => place.get(a.unit)! - place.get(b.unit)!);
  }
  const key = KEYS[order];
  if (!key) return found;
  return found.sort((a, b) => (key(b) ?? -Infinity) - (key(a) ?? -Infinity) || a.unit - b.unit);
}

function fits(row: UnitRow, wanted: string): boolean {
  if (!wanted) return true;
  if (/^\d+$/.test(wanted)) return String(row.unit).startsWith(wanted);
  return [row.name, row.word, ...flags(row)].some((text) => text.toLowerCase().includes(wanted));
}

/** What is unusual about a unit. */
export function flags(row: UnitRow): string[] {
  const found = row.dead ? ["dead"] : [];
  return row.duplicate_of === null ? found : [...found, `repeats ${row.duplicate_of}`];
}

/** The number that the order is by, or the best word. */
export function caption(row: UnitRow, order: string): string {
  if (order === "trust") return row.trust === null ? "not drawn" : formatShare(row.trust);
  if (order === "purity") return row.purity === null ? "no word" : `${formatShare(row.purity)} ${row.word}`;
  if (order === "sparsity") return formatNumber(row.lifetime_sparsity);
  if (order === "wins") return formatCount(row.wins, "win");
  if (order === "high") return formatNumber(row.high);
  return row.word;
}

/** Where the (first) picture of a unit is; of several sheets that have it, the one made last. */
export function pictureOf(sheets: readonly Sheet[], technique: Technique, unit: number): { sheet: Sheet; number: number } | null {
  const name = technique === "dataset" ? "covers" : technique;
  for (let i = sheets.length - 1; i >= 0; i--) {
    const sheet = sheets[i]!;
    if (sheet.technique !== name) continue;
    const place = sheet.units ? sheet.units.indexOf(unit) : unit;
    if (place >= 0) return { sheet, number: place * sheet.each };
  }
  return null;
}
