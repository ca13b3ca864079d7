import { useVirtualizer } from "@tanstack/react-virtual";
import { type ChangeEvent, useEffect, useMemo, useRef, useState } from "react";
import type { ImageFacts, ImageList } from "../../api";
import { STATIC } from "../ask";
import { pageUrl } from "../data/sprites";
import { formatShare } from "../../drawing/format";
import type { ImageId } from "./edits";

interface Props {
  list: ImageList;
  image: ImageId | null;
  onChoose: (image: number) => void;
  /** Takes an uploaded image; without it there is no upload. */
  onFile?: (file: Blob) => void;
}

const GAP = 6;

/** A strip of all images that can be searched, and an upload for others. */
export function ImagePicker({ list, image, onChoose, onFile }: Props) {
  const [words, setWords] = useState("");
  const found = useMemo(() => matching(list, words), [list, words]);
  const scroller = useRef<HTMLDivElement>(null);
  const strip = useVirtualizer({
    horizontal: true,
    count: found.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => list.thumbnails.width + GAP,
    overscan: 8,
  });
  useEffect(() => {
    const place = found.findIndex((each) => each.row === image);
    if (place >= 0) strip.scrollToIndex(place);
  }, [image, found, strip]);
  const choose = (event: ChangeEvent<HTMLInputElement>) => {
    const file = event.target.files?.[0];
    if (file) onFile?.(file);
    event.target.value = "";
  };
  return (
    <section className="picker" aria-label="Images">
      <div className="picker-bar">
        <label>
          Find <input type="search" value={words} placeholder="path or class" onChange={(event) => setWords(event.target.value)} />
        </label>
        <span className="quiet">
          {found.length} of {list.images.length} images
        </span>
        {onFile && !STATIC && (
          <label className="upload">
            Upload an image (or drop or paste one): <input type="file" accept="image/png,image/jpeg,image/webp" onChange={choose} />
          </label>
        )}
      </div>
      <div ref={scroller} className="picker-strip" role="group" aria-label="Thumbnails" tabIndex={0}>
        <div className="picker-thumbnails" style={{ width: strip.getTotalSize(), height: list.thumbnails.height }}>
          {strip.getVirtualItems().map((item) => {
            const each = found[item.index]!;
            return (
              <button
                key={each.row}
                type="button"
                className="picker-thumbnail"
                aria-label={describe(list, each)}
                title={describe(list, each)}
                aria-pressed={each.row === image}
                onClick={() => onChoose(each.row)}
                style={{ left: item.start, ...thumbnail(list, each.row) }}
              />
            );
          })}
        </div>
      </div>
    </section>
  );
}

/** Where the thumbnail of an image is in its file. */
export function thumbnail({ thumbnails }: ImageList, row: number) {
  const { width, height, columns, per_page } = thumbnails;
  const place = row % per_page;
  const [line, column] = [Math.floor(place / columns), place % columns];
  return {
    width,
    height,
    backgroundImage: `url("${pageUrl(Math.floor(row / per_page))}")`,
    backgroundPosition: `${-column * width}px ${-line * height}px`,
  };
}

export function describe(list: ImageList, image: ImageFacts): string {
  const name = image.path.split("/").pop();
  const label = image.label >= 0 ? `, labelled ${list.classes[image.label]}` : "";
  return `${name}${label}, predicted ${list.classes[image.prediction]} (${formatShare(image.confidence)})`;
}

function matching(list: ImageList, words: string): ImageFacts[] {
  const parts = words.toLowerCase().split(/\s+/).filter(Boolean);
  if (parts.length === 0) return list.images;
  return list.images.filter((image) => {
    const text = `${image.path} ${list.classes[image.label] ?? ""} ${list.classes[image.prediction]}`.toLowerCase();
    return parts.every((part) => text.includes(part));
  });
}
