import type { CSSProperties } from "react";
import type { Sheet } from "../../api";
import { fileUrl } from "../ask";
import type { Settings } from "./places";

interface Props {
  sheet: Sheet;
  /** The number of the picture in the sheet, in reading order. */
  number: number;
  view: Pick<Settings, "size" | "fit" | "pixels">;
  /** What it shows; without it the picture is decoration. */
  label?: string;
}

/** One picture of a sheet in a square: all of it (scale), or so that it fills the square (crop). */
export function Tile({ sheet, number, view, label }: Props) {
  const row = Math.floor(number / sheet.columns);
  const column = number % sheet.columns;
  const sides = [view.size / sheet.width, view.size / sheet.height] as const;
  const scale = view.fit === "crop" ? Math.max(...sides) : Math.min(...sides);
  const [width, height] = [sheet.width * scale, sheet.height * scale];
  const inside = row % sheet.rows;
  const style: CSSProperties = {
    width,
    height,
    backgroundImage: `url("${fileUrl(`/microscope/sprites/${sheet.key}/${Math.floor(row / sheet.rows)}`)}")`,
    backgroundSize: `${sheet.columns * width}px auto`,
    backgroundPosition: `${-column * width}px ${-inside * height}px`,
  };
  const says = label ? { role: "img", "aria-label": label } : { "aria-hidden": true };
  return (
    <span className="tile" style={{ width: view.size, height: view.size }} {...says}>
      <span className={view.pixels === "pixelated" ? "pixelated" : undefined} style={style} />
    </span>
  );
}
