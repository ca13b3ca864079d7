import { useEffect, useRef, type KeyboardEvent } from "react";
import type { GridItem } from "../audit";
import { PictureView } from "./PictureView";

interface Props {
  items: readonly GridItem[];
  index: number;
  onMove: (index: number) => void;
  onClose: () => void;
}

/** One enlarged image; the arrow keys show the previous and the next one. */
export function Lightbox({ items, index, onMove, onClose }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const opener = document.activeElement;
    dialog.current?.showModal();
    return () => {
      if (opener instanceof HTMLElement) opener.focus();
    };
  }, []);
  const item = items[index]!;
  const move = (step: number) => onMove(Math.min(items.length - 1, Math.max(0, index + step)));
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "ArrowLeft") move(-1);
    if (event.key === "ArrowRight") move(1);
  };
  return (
    <dialog
      ref={dialog}
      className="lightbox"
      aria-label={item.caption || "Image"}
      onClose={onClose}
      onKeyDown={onKeyDown}
      // A click on the backdrop has the dialog itself as its target.
      onClick={(event) => event.target === dialog.current && dialog.current.close()}
    >
      <div className="lightbox-body">
        <PictureView picture={item.picture} />
        <p className="lightbox-caption">
          {item.caption}
          {item.note && <span className="note">{item.note}</span>}
        </p>
        <p className="lightbox-bar">
          <button type="button" className="plain" disabled={index === 0} onClick={() => move(-1)}>
            Previous
          </button>
          <span>
            {index + 1} of {items.length}
          </span>
          <button type="button" className="plain" disabled={index === items.length - 1} onClick={() => move(1)}>
            Next
          </button>
          <button type="button" className="plain" autoFocus onClick={() => dialog.current?.close()}>
            Close
          </button>
        </p>
      </div>
    </dialog>
  );
}
