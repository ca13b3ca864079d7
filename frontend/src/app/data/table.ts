/** The table of all images, as the server gives it: one array per column, and which rows a filter keeps. */
import type { ImageColumn, ImageTable } from "../../api";

export const NOT_KNOWN = "not known";

/** One fact about every image: a number, or the index of a category; NaN where it is not known. */
export interface Fact {
  name: string;
  values: Float64Array;
  /** Names of the categories; none for a number. */
  categories: readonly string[] | null;
}

export interface Images {
  count: number;
  paths: readonly string[];
  facts: ReadonlyMap<string, Fact>;
  origins: ReadonlyMap<string, string>;
  classes: readonly string[];
  layers: readonly string[];
}

export const factOf = (name: string, values: readonly (number | null)[], categories: readonly string[] | null): Fact => ({
  name,
  values: Float64Array.from(values, (value) => value ?? NaN),
  categories,
});

export function imagesOf(table: ImageTable): Images {
  const read = ({ name, kind, values, categories }: ImageColumn) => factOf(name, values, kind === "number" ? null : categories);
  return {
    count: table.paths.length,
    paths: table.paths,
    facts: new Map(table.columns.map((column) => [column.name, read(column)])),
    origins: new Map(table.columns.map((column) => [column.name, column.origin])),
    classes: table.classes,
    layers: table.layers,
  };
}

/** A column with a value, or with the ends of a range. */
export type Condition = readonly [string, string] | readonly [string, number, number];

/** Which rows fulfil all conditions: 1 or 0 each. Conditions on unknown columns are ignored. */
export function kept(images: Images, conditions: readonly Condition[]): Uint8Array {
  const rows = new Uint8Array(images.count).fill(1);
  for (const [name, from, to] of conditions) {
    const fact = images.facts.get(name);
    if (!fact) continue;
    if (typeof from === "number" && to !== undefined) {
      fact.values.forEach((value, row) => value >= from && value <= to || (rows[row] = 0));
    } else {
      const code = fact.categories?.indexOf(String(from)) ?? -1;
      fact.values.forEach((value, row) => (code < 0 ? Number.isNaN(value) : value === code) || (rows[row] = 0));
    }
  }
  return rows;
}

const MOST = 10;

/** The groups of a fact: its most frequent categories, or thirds of its numbers. */
export function groupsOf(fact: Fact): { codes: Int16Array; names: string[] } {
  return fact.categories ? byCategory(fact, fact.categories) : byThirds(fact);
}

function byCategory({ values }: Fact, categories: readonly string[]): { codes: Int16Array; names: string[] } {
  const counts = new Array<number>(categories.length).fill(0);
  values.forEach((value) => Number.isNaN(value) || counts[value]!++);
  const order = counts.map((_, code) => code).sort((a, b) => counts[b]! - counts[a]!).slice(0, MOST).sort((a, b) => a - b);
  const place = new Map(order.map((code, i) => [code, i]));
  return { codes: Int16Array.from(values, (value) => place.get(value) ?? -1), names: order.map((code) => categories[code]!) };
}

function byThirds({ values }: Fact): { codes: Int16Array; names: string[] } {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort();
  if (sorted.length === 0) return { codes: new Int16Array(values.length).fill(-1), names: [] };
  const [low, high] = [1 / 3, 2 / 3].map((share) => sorted[Math.floor(share * (sorted.length - 1))]!) as [number, number];
  const text = (value: number) => String(Number(value.toPrecision(3)));
  const names = [`up to ${text(low)}`, `${text(low)} to ${text(high)}`, `above ${text(high)}`];
  return { codes: Int16Array.from(values, (v) => (Number.isNaN(v) ? -1 : v <= low ? 0 : v <= high ? 1 : 2)), names };
}

/** How many labelled images each class has, by its index. */
export function labelled(images: Images): Map<number, number> {
  const truths = images.facts.get("class");
  const counts = new Map<number, number>();
  if (!truths?.categories) return counts;
  const indices = truths.categories.map((name) => images.classes.indexOf(name));
  truths.values.forEach((value) => {
    if (!Number.isNaN(value)) counts.set(indices[value]!, (counts.get(indices[value]!) ?? 0) + 1);
  });
  return counts;
}

/** The value of a row, as text. */
export function inWords(fact: Fact, row: number): string {
  const value = fact.values[row] ?? NaN;
  if (Number.isNaN(value)) return NOT_KNOWN;
  return fact.categories ? (fact.categories[value] ?? NOT_KNOWN) : String(Number(value.toPrecision(4)));
}

/** A share with Wilson's 95% interval. */
export function wilson(hits: number, count: number): { value: number; low: number; high: number } {
  if (count === 0) return { value: NaN, low: 0, high: 1 };
  const [z, p] = [1.959964, hits / count];
  const weight = 1 + (z * z) / count;
  const center = (p + (z * z) / (2 * count)) / weight;
  const half = (z / weight) * Math.sqrt((p * (1 - p)) / count + (z * z) / (4 * count * count));
  return { value: p, low: hits === 0 ? 0 : center - half, high: hits === count ? 1 : center + half };
}
