/** The files of thumbnails, loaded when they are first drawn. */
import { useMemo } from "react";
import type { Thumbnails } from "../../api";
import { fileUrl } from "../ask";
import type { Sprites } from "./plot";

export const pageUrl = (page: number) => fileUrl(`/data/thumbnails/${page}`);

/** Sprites that a canvas can draw; `onLoad` is called when a file has come. */
export function useSprites(thumbnails: Thumbnails, onLoad: () => void): Sprites | null {
  return useMemo(() => {
    if (!thumbnails.ready) return null;
    const pages = new Map<number, HTMLImageElement>();
    const page = (index: number) => {
      let image = pages.get(index);
      if (!image) {
        image = new Image();
        image.onload = onLoad;
        image.src = pageUrl(index);
        pages.set(index, image);
      }
      return image.complete && image.naturalWidth > 0 ? image : null;
    };
    const { width, height, columns, per_page } = thumbnails;
    return { width, height, columns, perPage: per_page, page };
  }, [thumbnails, onLoad]);
}
