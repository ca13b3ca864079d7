import type { Maybe } from "./format";

export type Domain = readonly [number, number];

export function known(values: readonly Maybe[]): number[] {
  return values.filter((value) => value !== null);
}

/** The smallest domain that contains all values, with a margin around a single value. */
export function extent(values: readonly number[]): Domain {
  if (values.length === 0) return [0, 1];
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low < high) return [low, high];
  const margin = Math.abs(low) / 2 || 0.5;
  return [low - margin, high + margin];
}

function niceStep(span: number, count: number): number {
  const rough = span / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const fraction = rough / power;
  return power * (fraction <= 1 ? 1 : fraction <= 2 ? 2 : fraction <= 5 ? 5 : 10);
}

/** About `count` round numbers within the domain. */
export function ticks([low, high]: Domain, count = 5): number[] {
  const step = niceStep(high - low, count);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Widen a domain to round numbers. */
export function nice([low, high]: Domain, count = 5): Domain {
  const step = niceStep(high - low, count);
  return [Math.floor(low / step + 1e-9) * step, Math.ceil(high / step - 1e-9) * step];
}

/** Powers of ten within the domain, with 2 and 5 between them if there are few. */
export function logTicks([low, high]: Domain, count = 6): number[] {
  const decades = Math.log10(high / low);
  const steps = decades * 3 <= count ? [1, 2, 5] : [1];
  const every = Math.max(1, Math.ceil(decades / count));
  const candidates: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += every) {
    for (const step of steps) candidates.push(Number((step * 10 ** power).toPrecision(12)));
  }
  const inside = candidates.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
  return inside.length >= 2 ? inside : [low, high];
}

export function linear([low, high]: Domain, [start, end]: Domain): (value: number) => number {
  return (value) => start + ((value - low) / (high - low)) * (end - start);
}

export function logarithmic([low, high]: Domain, range: Domain): (value: number) => number {
  const ofLogarithm = linear([Math.log10(low), Math.log10(high)], range);
  return (value) => ofLogarithm(Math.log10(value));
}
