import { useId, useState } from "react";
import type { ImageGrid } from "../audit";
import { Lightbox } from "./Lightbox";
import { PictureView } from "./PictureView";

/** Images in a grid, or as a sequence of steps. A click enlarges them. */
export function ImageGridView({ grid }: { grid: ImageGrid }) {
  const [open, setOpen] = useState<number | null>(null);
  const title = useId();
  return (
    <div className="evidence">
      <h4 id={title}>{grid.title}</h4>
      {grid.items.length === 0 && <p className="quiet">No images.</p>}
      {grid.strip ? (
        <div className="scroll" role="region" aria-labelledby={title} tabIndex={0}>
          <Items grid={grid} onOpen={setOpen} />
        </div>
      ) : (
        <Items grid={grid} onOpen={setOpen} />
      )}
      {open !== null && <Lightbox items={grid.items} index={open} onMove={setOpen} onClose={() => setOpen(null)} />}
    </div>
  );
}

function Items({ grid, onOpen }: { grid: ImageGrid; onOpen: (index: number) => void }) {
  const List = grid.strip ? "ol" : "ul";
  return (
    <List className={grid.strip ? "pictures strip" : "pictures"}>
      {grid.items.map(({ picture, caption, note }, i) => (
        <li key={i}>
          <figure>
            <button type="button" className="enlarge" onClick={() => onOpen(i)} title="Enlarge">
              <PictureView picture={picture} />
            </button>
            <figcaption>
              {caption}
              {note && <span className="note">{note}</span>}
            </figcaption>
          </figure>
        </li>
      ))}
    </List>
  );
}
