/** Drawing many images as points or thumbnails on a canvas, and finding them again under the pointer. */
import { colorScale } from "../../drawing/color";
import { extent, known, ticks } from "../../drawing/scale";
import type { Fact } from "./table";

export const MARGIN = { left: 56, right: 10, top: 10, bottom: 40 };
const INSET = 20; // Pixels between the outermost images and the frame, before zooming.
const NEAR = 12; // Pixels from the pointer within which an image is found.
const FEW = 220; // With no more images in view, thumbnails are drawn.
const SERIES = 6;
const [ACROSS, UP] = [76, 22]; // Pixels between two labels of an axis, at least.

/** Where each image lies on an axis, from 0 to 1; NaN where it is not known. */
export interface Axis {
  fact: Fact;
  places: Float32Array;
  low: number;
  high: number;
}

/** Where all images lie on the axis with an index: 0 to the right, 1 up. */
export function axisOf(fact: Fact, index: number): Axis {
  const { values, categories } = fact;
  if (categories) {
    const count = Math.max(1, categories.length);
    const places = Float32Array.from(values, (value, row) => (value + 0.5 + 0.76 * (scatter(row, index) - 0.5)) / count);
    return { fact, places, low: -0.5, high: count - 0.5 };
  }
  const [low, high] = extent(known(Array.from(values, (value) => (Number.isNaN(value) ? null : value))));
  const margin = 0.02 * (high - low);
  const [from, span] = [low - margin, high - low + 2 * margin];
  return { fact, places: Float32Array.from(values, (value) => (value - from) / span), low: from, high: from + span };
}

/** A number in [0, 1) that depends on the row alone, so that images of a category do not cover each other. */
function scatter(row: number, salt: number): number {
  let hash = Math.imul(row + 1, 0x9e3779b1) ^ Math.imul(salt + 7, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return ((hash ^ (hash >>> 12)) >>> 0) / 2 ** 32;
}

/** How far the plot is zoomed and moved, in pixels of the page. */
export interface Zoom {
  scale: number;
  left: number;
  top: number;
}

export const WHOLE: Zoom = { scale: 1, left: 0, top: 0 };

/** The same view, `factor` times closer around a point of the plot. */
export function closer({ scale, left, top }: Zoom, factor: number, x: number, y: number): Zoom {
  const next = Math.min(400, Math.max(0.8, scale * factor));
  const by = next / scale;
  return { scale: next, left: x - (x - left) * by, top: y - (y - top) * by };
}

export interface Rgb {
  readonly red: number;
  readonly green: number;
  readonly blue: number;
}

/** The colors of the page, as they are right now. */
interface Palette {
  paper: Rgb;
  ink: Rgb;
  soft: Rgb;
  rule: Rgb;
  series: Rgb[];
}

export function palette(): Palette {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string) => parse(style.getPropertyValue(name).trim());
  const series = Array.from({ length: SERIES }, (_, i) => read(`--series-${i + 1}`));
  return { paper: read("--paper"), ink: read("--ink"), soft: read("--soft"), rule: read("--rule"), series };
}

function parse(hex: string): Rgb {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  return { red, green, blue };
}

export const css = ({ red, green, blue }: Rgb) => `rgb(${red} ${green} ${blue})`;

function mixed(a: Rgb, b: Rgb, share: number): Rgb {
  const mix = (x: number, y: number) => Math.round(x + (y - x) * share);
  return { red: mix(a.red, b.red), green: mix(a.green, b.green), blue: mix(a.blue, b.blue) };
}

const packed = ({ red, green, blue }: Rgb) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;

export interface Coloring {
  /** Index of a color of each image. */
  codes: Uint8Array;
  colors: Rgb[];
  /** From this color on, points are squares: with the colors again, so that twice as many can be told apart. */
  squareFrom: number;
  legend: { color: Rgb; square: boolean; name: string }[];
  /** Ends of the scale, where colors are a scale. */
  range: readonly [number, number] | null;
}

const STEPS = 32;

/** The color of each image: the most frequent categories, or 32 steps of a scale. */
export function coloringOf(fact: Fact | null, count: number, colors: Palette): Coloring {
  if (!fact) return { codes: new Uint8Array(count), colors: [colors.series[0]!], squareFrom: 1, legend: [], range: null };
  return fact.categories ? byCategory(fact, fact.categories, colors) : byNumber(fact, colors);
}

function byCategory(fact: Fact, categories: readonly string[], colors: Palette): Coloring {
  const counts = categories.map(() => 0);
  fact.values.forEach((value) => Number.isNaN(value) || counts[value]!++);
  const order = counts.map((_, code) => code).sort((a, b) => counts[b]! - counts[a]! || a - b);
  const own = order.slice(0, categories.length > 2 * SERIES ? 2 * SERIES - 1 : 2 * SERIES).sort((a, b) => a - b);
  const place = new Map(own.map((code, i) => [code, i]));
  const colorAt = (i: number) => colors.series[i % SERIES]!;
  const legend = own.map((code, i) => ({ color: colorAt(i), square: i >= SERIES, name: categories[code]! }));
  const others = categories.length - own.length;
  const unknown = fact.values.some(Number.isNaN);
  const name = others > 0 ? `${others} others${unknown ? ", or not known" : ""}` : "not known";
  if (others > 0 || unknown) legend.push({ color: colors.soft, square: own.length >= SERIES, name });
  const codes = Uint8Array.from(fact.values, (value) => place.get(value) ?? own.length);
  return { codes, colors: [...own.map((_, i) => colorAt(i)), colors.soft], squareFrom: SERIES, legend, range: null };
}

function byNumber(fact: Fact, colors: Palette): Coloring {
  const [low, high] = extent(known(Array.from(fact.values, (value) => (Number.isNaN(value) ? null : value))));
  const scale = colorScale(0, STEPS - 1, false);
  const steps = Array.from({ length: STEPS }, (_, i) => {
    const [red, green, blue] = scale.color(i);
    return { red, green, blue };
  });
  const step = (value: number) => Math.min(STEPS - 1, Math.floor(((value - low) / (high - low)) * STEPS));
  const codes = Uint8Array.from(fact.values, (value) => (Number.isNaN(value) ? STEPS : step(value)));
  const legend = fact.values.some(Number.isNaN) ? [{ color: colors.soft, square: false, name: "not known" }] : [];
  return { codes, colors: [...steps, colors.soft], squareFrom: STEPS + 1, legend, range: [low, high] };
}

/** Where images lie on the screen right now. */
export interface Placed {
  x: Float32Array;
  y: Float32Array;
  /** Rows that are shown and within the plot. */
  rows: number[];
}

export function place(x: Axis, y: Axis, shown: Uint8Array, zoom: Zoom, width: number, height: number, into: Placed): Placed {
  const [wide, high] = [width - MARGIN.left - MARGIN.right, height - MARGIN.top - MARGIN.bottom];
  const rows: number[] = [];
  for (let row = 0; row < shown.length; row++) {
    const left = (INSET + x.places[row]! * (wide - 2 * INSET)) * zoom.scale + zoom.left;
    const top = (INSET + (1 - y.places[row]!) * (high - 2 * INSET)) * zoom.scale + zoom.top;
    into.x[row] = left + MARGIN.left;
    into.y[row] = top + MARGIN.top;
    if (shown[row] && left >= 0 && left <= wide && top >= 0 && top <= high) rows.push(row); // NaN is never within
  }
  into.rows = rows;
  return into;
}

/** The image nearest to a point, if one is near. 10,000 distances take 0.03 ms, so no tree is needed. */
export function nearest(placed: Placed, x: number, y: number): number | null {
  let best: number | null = null;
  let least = NEAR * NEAR;
  for (const row of placed.rows) {
    const distance = (placed.x[row]! - x) ** 2 + (placed.y[row]! - y) ** 2;
    if (distance < least) [best, least] = [row, distance];
  }
  return best;
}

export type Point = readonly [number, number];

/** The images within a polygon (even-odd rule). */
export function within(placed: Placed, polygon: readonly Point[]): number[] {
  return placed.rows.filter((row) => {
    const [x, y] = [placed.x[row]!, placed.y[row]!];
    let inside = false;
    polygon.forEach(([x1, y1], i) => {
      const [x2, y2] = polygon.at(i - 1)!;
      if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside;
    });
    return inside;
  });
}

export interface Sprites {
  width: number;
  height: number;
  columns: number;
  perPage: number;
  /** A page that has been loaded; asking for another loads it. */
  page: (index: number) => HTMLImageElement | null;
}

interface Drawing {
  x: Axis;
  y: Axis;
  coloring: Coloring;
  placed: Placed;
  selected: ReadonlySet<number>;
  sprites: Sprites | null;
  zoom: Zoom;
  width: number;
  height: number;
  colors: Palette;
}

/** Draw all of it. Points are written as pixels, which is many times quicker than as shapes. */
export function draw(context: CanvasRenderingContext2D, drawing: Drawing, density: number): void {
  const { placed, sprites, width, height } = drawing;
  context.setTransform(1, 0, 0, 1, 0, 0);
  if (sprites && placed.rows.length <= FEW) {
    context.clearRect(0, 0, context.canvas.width, context.canvas.height);
    context.setTransform(density, 0, 0, density, 0, 0);
    drawThumbnails(context, drawing, sprites);
  } else {
    drawPoints(context, drawing, density);
    context.setTransform(density, 0, 0, density, 0, 0);
  }
  drawAxes(context, drawing, width, height);
}

let buffer: ImageData | null = null;

function drawPoints(context: CanvasRenderingContext2D, drawing: Drawing, density: number): void {
  const { placed, coloring, selected, colors } = drawing;
  const { width, height } = context.canvas;
  if (buffer?.width !== width || buffer.height !== height) buffer = context.createImageData(width, height);
  const pixels = new Uint32Array(buffer.data.buffer).fill(0);
  const radius = Math.max(2, Math.round((placed.rows.length > 3000 ? 2.5 : 3.5) * density));
  const faded = selected.size > 0 ? 0.75 : 0;
  const inner = coloring.colors.map((color) => packed(mixed(color, colors.paper, faded)));
  const rim = coloring.colors.map((color) => packed(mixed(mixed(color, colors.ink, 0.45), colors.paper, faded)));
  const stamps = [stampOf(radius, width, false), stampOf(radius, width, true)] as const;
  const shape = (row: number) => (coloring.codes[row]! >= coloring.squareFrom ? 1 : 0);
  const put = (row: number, fill: number, edge: number, dots: Stamp) => {
    const [x, y] = [Math.round(placed.x[row]! * density), Math.round(placed.y[row]! * density)];
    if (x < dots.radius || y < dots.radius || x >= width - dots.radius || y >= height - dots.radius) return;
    const at = y * width + x;
    for (const offset of dots.rim) pixels[at + offset] = edge;
    for (const offset of dots.inner) pixels[at + offset] = fill;
  };
  for (const row of placed.rows) put(row, inner[coloring.codes[row]!]!, rim[coloring.codes[row]!]!, stamps[shape(row)]);
  if (selected.size > 0) {
    const by = radius + Math.round(density);
    const large = [stampOf(by, width, false), stampOf(by, width, true)] as const;
    const ink = packed(colors.ink);
    for (const row of placed.rows) {
      if (selected.has(row)) put(row, packed(coloring.colors[coloring.codes[row]!]!), ink, large[shape(row)]);
    }
  }
  context.putImageData(buffer, 0, 0);
}

interface Stamp {
  radius: number;
  inner: number[];
  rim: number[];
}

/** The pixels of a disc or square as distances from its center in a picture of a width: inside, and its outermost ring. */
function stampOf(radius: number, width: number, square: boolean): Stamp {
  const stamp: Stamp = { radius, inner: [], rim: [] };
  for (let y = -radius; y <= radius; y++) {
    for (let x = -radius; x <= radius; x++) {
      const distance = square ? Math.max(Math.abs(x), Math.abs(y)) + 0.7 : Math.hypot(x, y);
      if (distance <= radius - 0.6) stamp.inner.push(y * width + x);
      else if (distance <= radius + 0.3) stamp.rim.push(y * width + x);
    }
  }
  return stamp;
}

function drawThumbnails(context: CanvasRenderingContext2D, drawing: Drawing, sprites: Sprites): void {
  const { placed, coloring, selected, width, height, colors } = drawing;
  const room = Math.sqrt((width * height) / Math.max(1, placed.rows.length));
  const side = Math.min(72, 0.085 * width, Math.max(18, 0.55 * room));
  const scale = side / Math.max(sprites.width, sprites.height);
  const [wide, high] = [sprites.width * scale, sprites.height * scale];
  context.imageSmoothingEnabled = scale < 1.5;
  for (const row of placed.rows) {
    const [left, top] = [placed.x[row]! - wide / 2, placed.y[row]! - high / 2];
    const cell = row % sprites.perPage;
    const page = sprites.page(Math.floor(row / sprites.perPage));
    const chosen = selected.has(row);
    context.fillStyle = css(chosen ? colors.ink : coloring.colors[coloring.codes[row]!]!);
    const border = chosen ? 4 : 2;
    context.fillRect(left - border, top - border, wide + 2 * border, high + 2 * border);
    if (!page) continue;
    const [x, y] = [(cell % sprites.columns) * sprites.width, Math.floor(cell / sprites.columns) * sprites.height];
    context.drawImage(page, x, y, sprites.width, sprites.height, left, top, wide, high);
  }
}

function drawAxes(context: CanvasRenderingContext2D, drawing: Drawing, width: number, height: number): void {
  const { colors, zoom } = drawing;
  const [right, bottom] = [width - MARGIN.right, height - MARGIN.bottom];
  for (const box of [[0, 0, MARGIN.left, height], [0, bottom, width, MARGIN.bottom], [0, 0, width, MARGIN.top], [right, 0, MARGIN.right, height]]) {
    context.clearRect(...(box as [number, number, number, number]));
  }
  context.strokeStyle = css(colors.rule);
  context.strokeRect(MARGIN.left - 0.5, MARGIN.top - 0.5, right - MARGIN.left + 1, bottom - MARGIN.top + 1);
  context.fillStyle = css(colors.soft);
  context.font = "12px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "top";
  const across = labelsOf(drawing.x, zoom.left, zoom.scale, right - MARGIN.left, ACROSS);
  for (const { at, text } of across) context.fillText(text, MARGIN.left + at, bottom + 7, ACROSS);
  context.textAlign = "right";
  context.textBaseline = "middle";
  const room = bottom - MARGIN.top;
  const up = labelsOf(drawing.y, room - room * zoom.scale - zoom.top, zoom.scale, room, UP);
  for (const { at, text } of up) context.fillText(text, MARGIN.left - 6, bottom - at, MARGIN.left - 10);
}

/** The ticks of an axis of which `room` pixels are seen; it is moved by pixels and zoomed by a scale. */
function labelsOf(axis: Axis, moved: number, scale: number, room: number, apart: number): { at: number; text: string }[] {
  const [start, length] = [INSET * scale + moved, (room - 2 * INSET) * scale];
  const at = (value: number) => start + ((value - axis.low) / (axis.high - axis.low)) * length;
  const seen = (each: { at: number }) => each.at >= 0 && each.at <= room;
  const { categories } = axis.fact;
  if (categories) {
    const all = categories.map((text, code) => ({ at: at(code), text })).filter(seen);
    const every = Math.max(1, Math.ceil((apart * categories.length) / length));
    return all.filter((_, i) => i % every === 0);
  }
  const value = (place: number) => axis.low + ((place - start) / length) * (axis.high - axis.low);
  const chosen = ticks([value(0), value(room)], Math.max(2, Math.floor(room / (2 * apart))));
  const digits = Math.max(0, -Math.floor(Math.log10(Math.abs((chosen[1] ?? 1) - (chosen[0] ?? 0)) || 1) + 1e-9));
  const text = (tick: number) => (digits > 6 ? tick.toExponential(2) : tick.toFixed(digits)).replace("-", "−");
  return chosen.map((tick) => ({ at: at(tick), text: text(tick) })).filter(seen);
}
