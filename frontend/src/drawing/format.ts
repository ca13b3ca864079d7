/** Numbers formatted for display. Python writes NaN as null; it is shown as a dash. */
export type Maybe = number | null;
export type Unit = "share" | "number" | "probability" | "pixels";

export const MISSING = "–";
const NARROW_SPACE = "\u202f"; // does not break; stands between a number and its unit, but not before %

const significant = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const scientific = new Intl.NumberFormat("en", { notation: "scientific", maximumSignificantDigits: 3 });

export function formatNumber(value: Maybe): string {
  if (value === null) return MISSING;
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) return scientific.format(value).toLowerCase().replace("-", "−");
  return (size >= 100 ? whole : significant).format(value).replace("-", "−");
}

/** The decimal places that a percentage needs so that the ends of its interval differ. */
export function digitsFor(...shares: Maybe[]): number {
  const known = shares.filter((share) => share !== null);
  const spread = Math.max(...known) - Math.min(...known);
  if (known.length < 2 || spread === 0 || spread >= 0.05) return 0;
  return spread < 0.005 ? 2 : 1;
}

function percentWithoutSign(share: number, digits: number): string {
  const text = (100 * share).toFixed(digits).replace("-", "−");
  // A share close to 0 or 1 must not be rounded to 0% or 100%.
  if (share !== 0 && Number(text.replace("−", "-")) === 0) return (100 * share).toPrecision(1).replace("-", "−");
  if (share !== 1 && Number(text) === 100) return (100 * share).toFixed(2);
  return text;
}

export function formatShare(share: Maybe, digits = 0): string {
  return share === null ? MISSING : `${percentWithoutSign(share, digits)}%`;
}

/** An interval in a table cell: "31–54%", "0.31–0.54". Negative numbers are joined by "to", not by a dash. */
export function formatRange(unit: Unit, low: Maybe, high: Maybe): string {
  if (low === null || high === null) return MISSING;
  if (low < 0) return formatInterval(unit, low, high);
  const digits = digitsFor(low, high);
  const start = unit === "share" ? percentWithoutSign(low, digits) : formatNumber(low);
  return `${start}–${formatIn(unit, high, digits)}`;
}

/** Tick labels of an axis, all with the same number of decimal places. */
export function formatTicks(values: readonly number[]): string[] {
  const texts = values.map(formatNumber);
  if (texts.some((text) => text.includes("e"))) return texts;
  const digits = Math.max(0, ...texts.map((text) => text.split(".")[1]?.length ?? 0));
  const aligned = new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return values.map((value) => aligned.format(value).replace("-", "−"));
}

export function formatIn(unit: Unit, value: Maybe, digits = 0): string {
  if (value === null) return MISSING;
  if (unit === "share") return formatShare(value, digits);
  if (unit === "pixels") return `${formatNumber(value)}${NARROW_SPACE}px`;
  return formatNumber(value);
}

/** An interval in running text: "31% to 54%". */
export function formatInterval(unit: Unit, low: Maybe, high: Maybe): string {
  if (low === null || high === null) return "interval unknown";
  const digits = digitsFor(low, high);
  const start = unit === "share" ? formatShare(low, digits) : formatNumber(low);
  return `${start} to ${formatIn(unit, high, digits)}`;
}

export function formatCount(count: number, one: string, many = `${one}s`): string {
  return `${whole.format(count)} ${count === 1 ? one : many}`;
}

export function formatDuration(seconds: Maybe): string {
  if (seconds === null) return MISSING;
  if (seconds < 60) return formatCount(Math.max(1, Math.round(seconds)), "second");
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return formatCount(minutes, "minute");
  const hours = Math.floor(minutes / 60);
  return minutes % 60 === 0 ? formatCount(hours, "hour") : `${formatCount(hours, "hour")} ${minutes % 60} min`;
}

export function formatDate(text: string): string {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return text;
  const shown = new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeStyle: "short", timeZone: "UTC" });
  return `${shown.format(date)} UTC`;
}
