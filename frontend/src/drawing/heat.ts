import type { ColorScale } from "./color";
import { known } from "./scale";

type Grid = readonly (readonly (number | null)[])[];

const at = (grid: Grid, row: number, column: number) => grid[row]?.[column] ?? null;

/** The bilinear interpolation of up to four measured cells; null if the nearest cell was not measured. */
function interpolate(grid: Grid, y: number, x: number): number | null {
  if (at(grid, Math.round(y), Math.round(x)) === null) return null;
  const [top, left] = [Math.floor(y), Math.floor(x)];
  let sum = 0;
  let weights = 0;
  for (const [row, column] of [[top, left], [top, left + 1], [top + 1, left], [top + 1, left + 1]] as const) {
    const value = at(grid, row, column);
    const weight = (1 - Math.abs(y - row)) * (1 - Math.abs(x - column));
    if (value === null || weight <= 0) continue;
    sum += value * weight;
    weights += weight;
  }
  return weights > 0 ? sum / weights : null;
}

/**
 * A picture of a grid of numbers, interpolated between cells, as a data URI. Unmeasured cells are transparent. A canvas on
 * the page itself would be empty in print until it has been on the screen.
 */
export function paint(grid: Grid, scale: ColorScale, pixelsPerCell: number): string {
  const rows = grid.length;
  const columns = grid[0]?.length ?? 0;
  const canvas = document.createElement("canvas");
  if (rows === 0 || columns === 0) return canvas.toDataURL();
  canvas.width = columns * pixelsPerCell;
  canvas.height = rows * pixelsPerCell;
  const context = canvas.getContext("2d")!;
  const image = context.createImageData(canvas.width, canvas.height);
  for (let py = 0; py < canvas.height; py++) {
    const y = Math.min(rows - 1, Math.max(0, (py + 0.5) / pixelsPerCell - 0.5));
    for (let px = 0; px < canvas.width; px++) {
      const x = Math.min(columns - 1, Math.max(0, (px + 0.5) / pixelsPerCell - 0.5));
      const value = pixelsPerCell === 1 ? at(grid, py, px) : interpolate(grid, y, x);
      if (value === null) continue;
      image.data.set([...scale.color(value), 255], 4 * (py * canvas.width + px));
    }
  }
  context.putImageData(image, 0, 0);
  return canvas.toDataURL();
}

/** The cell at a point, given as fractions of the width and height. */
export function cellAt(grid: Grid, x: number, y: number): { row: number; column: number; value: number | null } {
  const index = (fraction: number, count: number) => Math.min(count - 1, Math.max(0, Math.floor(fraction * count)));
  const row = index(y, grid.length);
  const column = index(x, grid[0]?.length ?? 1);
  return { row, column, value: at(grid, row, column) };
}

export function allUnmeasured(grid: Grid): boolean {
  return grid.every((row) => known(row).length === 0);
}
