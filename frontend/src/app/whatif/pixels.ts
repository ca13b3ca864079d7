/** Pixels of a canvas: brushes, patches, means and differences. */
import type { Patch } from "../../api";

export interface Box {
  top: number;
  left: number;
  height: number;
  width: number;
}

export type Color = readonly [number, number, number];

export function parseColor(hex: string): Color {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)) as unknown as Color;
}

export function meanColor({ data }: ImageData): Color {
  const sums = [0, 0, 0];
  for (let i = 0; i < data.length; i += 4) for (let c = 0; c < 3; c++) sums[c]! += data[i + c]!;
  return sums.map((sum) => Math.round((4 * sum) / data.length)) as unknown as Color;
}

/** The part of a box that lies on an image; null where it lies beside it. */
export function clipped(box: Box, height: number, width: number): Box | null {
  const [top, left] = [Math.max(0, box.top), Math.max(0, box.left)];
  const [bottom, right] = [Math.min(height, box.top + box.height), Math.min(width, box.left + box.width)];
  return top < bottom && left < right ? { top, left, height: bottom - top, width: right - left } : null;
}

export function boxAround(y: number, x: number, size: number): Box {
  const from = (center: number) => Math.round(center - size / 2);
  return { top: from(y), left: from(x), height: size, width: size };
}

export function boxBetween(a: Point, b: Point): Box {
  const [top, left] = [Math.min(a.y, b.y), Math.min(a.x, b.x)];
  return { top, left, height: Math.abs(a.y - b.y) + 1, width: Math.abs(a.x - b.x) + 1 };
}

export interface Point {
  y: number;
  x: number;
}

/** What a tool puts at a pixel; null leaves it. */
export type Source = (y: number, x: number) => Color | null;

/** A stroke: opaque pixels on a transparent layer as large as the image, and the box that holds them. */
export class Stroke {
  readonly layer: ImageData;
  private box: Box | null = null;

  constructor(height: number, width: number) {
    this.layer = new ImageData(width, height);
  }

  /** Put pixels into a box, or into the disc in it; whatever was put there before stays. */
  stamp(box: Box, source: Source, round: boolean) {
    const seen = clipped(box, this.layer.height, this.layer.width);
    if (!seen) return;
    const radius = box.width / 2;
    for (let y = seen.top; y < seen.top + seen.height; y++) {
      for (let x = seen.left; x < seen.left + seen.width; x++) {
        const [dy, dx] = [y + 0.5 - box.top - box.height / 2, x + 0.5 - box.left - radius];
        if (round && dy * dy + dx * dx > radius * radius) continue;
        const color = source(y, x);
        if (color) this.layer.data.set([...color, 255], 4 * (y * this.layer.width + x));
      }
    }
    this.box = this.box ? union(this.box, seen) : seen;
  }

  /** Stamp along a line, so that quick movements leave no gaps. */
  line(from: Point, to: Point, size: number, source: Source, round: boolean) {
    const steps = Math.max(1, Math.ceil(Math.hypot(to.y - from.y, to.x - from.x) / Math.max(1, size / 3)));
    for (let i = 1; i <= steps; i++) {
      const at = i / steps;
      this.stamp(boxAround(from.y + (to.y - from.y) * at, from.x + (to.x - from.x) * at, size), source, round);
    }
  }

  /** The stroke as the server takes it; null where it has no pixel. */
  patch(): Patch | null {
    if (!this.box) return null;
    const { top, left, height, width } = this.box;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    canvas.getContext("2d")!.putImageData(this.layer, -left, -top);
    return { kind: "patch", top, left, png: canvas.toDataURL("image/png").split(",")[1]! };
  }

  /** Lay the stroke over an image. */
  over(image: ImageData): ImageData {
    const found = new ImageData(new Uint8ClampedArray(image.data), image.width, image.height);
    for (let i = 3; i < found.data.length; i += 4) {
      if (this.layer.data[i]) found.data.set(this.layer.data.subarray(i - 3, i + 1), i - 3);
    }
    return found;
  }
}

function union(a: Box, b: Box): Box {
  const [top, left] = [Math.min(a.top, b.top), Math.min(a.left, b.left)];
  const [bottom, right] = [Math.max(a.top + a.height, b.top + b.height), Math.max(a.left + a.width, b.left + b.width)];
  return { top, left, height: bottom - top, width: right - left };
}

export function colorAt({ data, width }: ImageData, y: number, x: number): Color {
  const at = 4 * (y * width + x);
  return [data[at]!, data[at + 1]!, data[at + 2]!];
}

/** The absolute difference of two images, brightened so that the largest is white; and that largest difference. */
export function difference(before: ImageData, after: ImageData): { image: ImageData; most: number } {
  const image = new ImageData(before.width, before.height);
  let most = 0;
  for (let i = 0; i < image.data.length; i++) {
    const change = i % 4 === 3 ? 0 : Math.abs(before.data[i]! - after.data[i]!);
    most = Math.max(most, change);
    image.data[i] = change;
  }
  for (let i = 0; i < image.data.length; i++) image.data[i] = i % 4 === 3 ? 255 : (image.data[i]! * 255) / (most || 1);
  return { image, most };
}

/** The pixels of a picture at an address. */
export async function loadPixels(src: string): Promise<ImageData> {
  const picture = new Image();
  picture.src = src;
  await picture.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
  const context = canvas.getContext("2d")!;
  context.drawImage(picture, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

export function toUrl(image: ImageData): string {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.width, image.height];
  canvas.getContext("2d")!.putImageData(image, 0, 0);
  return canvas.toDataURL("image/png");
}
