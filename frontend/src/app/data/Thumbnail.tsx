import type { Thumbnails } from "../../api";
import { pageUrl } from "./sprites";

interface Props {
  thumbnails: Thumbnails;
  row: number;
  /** The longer side in pixels. */
  side: number;
}

/** The small picture of an image, out of the file that holds 256 of them. */
export function Thumbnail({ thumbnails, row, side }: Props) {
  const { ready, width, height, columns, per_page, count } = thumbnails;
  if (!ready) return null;
  const scale = side / Math.max(width, height);
  const page = Math.floor(row / per_page);
  const cell = row % per_page;
  const lines = Math.ceil(Math.min(per_page, count - page * per_page) / columns);
  return (
    <span
      className="data-thumbnail"
      style={{
        width: width * scale,
        height: height * scale,
        backgroundImage: `url("${pageUrl(page)}")`,
        backgroundSize: `${columns * width * scale}px ${lines * height * scale}px`,
        backgroundPosition: `${-(cell % columns) * width * scale}px ${-Math.floor(cell / columns) * height * scale}px`,
      }}
    />
  );
}
