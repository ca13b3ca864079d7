/** Numbers as people read them. NaN arrives as null and is shown as a dash: not measured. */
export type Maybe = number | null;
export type Unit = "share" | "number" | "probability" | "pixels";

export const MISSING = "–";
const THIN = "\u202f"; // a narrow space that does not break, between a number and its unit (not before %)

const significant = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const scientific = new Intl.NumberFormat("en", { notation: "scientific", maximumSignificantDigits: 3 });

export function formatNumber(value: Maybe): string {
  if (value === null) return MISSING;
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) return scientific.format(value).toLowerCase().replace("-", "−");
  return (size >= 100 ? whole : significant).format(value).replace("-", "−");
}

/** Digits after the point that a share needs so that its interval does not collapse into one number. */
export function digitsFor(...shares: Maybe[]): number {
  const known = shares.filter((share) => share !== null);
  const spread = Math.max(...known) - Math.min(...known);
  if (known.length < 2 || spread === 0 || spread >= 0.05) return 0;
  return spread < 0.005 ? 2 : 1;
}

function bare(share: number, digits: number): string {
  const text = (100 * share).toFixed(digits).replace("-", "−");
  // What is not quite nothing, or not quite all, must not read as if it were.
  if (share !== 0 && Number(text.replace("−", "-")) === 0) return (100 * share).toPrecision(1).replace("-", "−");
  if (share !== 1 && Number(text) === 100) return (100 * share).toFixed(2);
  return text;
}

export function formatShare(share: Maybe, digits = 0): string {
  return share === null ? MISSING : `${bare(share, digits)}%`;
}

export function formatShareRange(low: Maybe, high: Maybe, between = "–"): string {
  if (low === null || high === null) return MISSING;
  const digits = digitsFor(low, high);
  const dash = low < 0 && between === "–" ? " to " : between; // a dash before a minus sign would be misread
  return `${between === "–" ? bare(low, digits) : formatShare(low, digits)}${dash}${formatShare(high, digits)}`;
}

/** Numbers along an axis, all with the same digits after the point. */
export function formatTicks(values: readonly number[]): string[] {
  const texts = values.map(formatNumber);
  if (texts.some((text) => text.includes("e"))) return texts;
  const digits = Math.max(0, ...texts.map((text) => text.split(".")[1]?.length ?? 0));
  const same = new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return values.map((value) => same.format(value).replace("-", "−"));
}

export function formatIn(unit: Unit, value: Maybe, digits = 0): string {
  if (value === null) return MISSING;
  if (unit === "share") return formatShare(value, digits);
  if (unit === "pixels") return `${formatNumber(value)}${THIN}px`;
  return formatNumber(value);
}

/** "31% to 54%": an interval as it is read aloud. */
export function formatInterval(unit: Unit, low: Maybe, high: Maybe): string {
  if (low === null || high === null) return "interval unknown";
  if (unit === "share") return formatShareRange(low, high, " to ");
  return `${formatNumber(low)} to ${formatIn(unit, high)}`;
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
