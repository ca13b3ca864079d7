import type { Domain } from "./scale";

type Rgb = readonly [number, number, number];

// Both color maps are readable with the common forms of color blindness.
const VIRIDIS = "440154 482475 414487 355f8d 2a788e 21918c 22a884 44bf70 7ad151 bddf26 fde725";
const BLUE_WHITE_ORANGE = "053061 2166ac 4393c3 92c5de d1e5f0 f7f7f7 fee0b6 fdb863 e08214 b35806 7f3b08";

const parse = (hex: string): Rgb => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)) as unknown as Rgb;
const stopsOf = (diverging: boolean) => (diverging ? BLUE_WHITE_ORANGE : VIRIDIS).split(" ");

/** The color scale that all heatmaps of a group share. */
export interface ColorScale {
  domain: Domain;
  color: (value: number) => Rgb;
  stops: string[];
}

export function colorScale(low: number, high: number, diverging: boolean): ColorScale {
  const bound = Math.max(Math.abs(low), Math.abs(high)) || 1;
  const domain: Domain = diverging ? [-bound, bound] : high > low ? [low, high] : [low, low + 1];
  const colors = stopsOf(diverging).map(parse);
  const color = (value: number): Rgb => {
    const position = Math.min(1, Math.max(0, (value - domain[0]) / (domain[1] - domain[0]))) * (colors.length - 1);
    const from = colors[Math.floor(position)]!;
    const to = colors[Math.ceil(position)]!;
    const fraction = position - Math.floor(position);
    return [0, 1, 2].map((i) => Math.round(from[i]! + (to[i]! - from[i]!) * fraction)) as unknown as Rgb;
  };
  return { domain, color, stops: stopsOf(diverging).map((hex) => `#${hex}`) };
}

/** Black or white, whichever has more contrast on this color: at least 4.5 to 1 (WCAG 2, relative luminance). */
export function textColorOn(color: Rgb): string {
  const [red, green, blue] = color.map((level) => {
    const share = level / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  // At a luminance of 0.179 black and white have the same contrast, 4.58.
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000" : "#fff";
}
