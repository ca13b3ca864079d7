import { useContext, useState } from "react";
import type { ImageGrid } from "../audit";
import { LinksContext } from "../links";
import { Lightbox } from "./Lightbox";
import { PictureView } from "./PictureView";

/** Whether the steps of a strip fit side by side, on a phone too. */
export const isShortStrip = ({ strip, items }: ImageGrid) => strip && items.length <= 4;

/** Images in a grid, or as a sequence of steps. A click enlarges them. */
export function ImageGridView({ grid }: { grid: ImageGrid }) {
  const [open, setOpen] = useState<number | null>(null);
  return (
    <div className="evidence">
      <h4>{grid.title}</h4>
      {grid.items.length === 0 && <p className="quiet">No images.</p>}
      <Items grid={grid} onOpen={setOpen} />
      {open !== null && <Lightbox items={grid.items} index={open} onMove={setOpen} onClose={() => setOpen(null)} />}
    </div>
  );
}

function Items({ grid, onOpen }: { grid: ImageGrid; onOpen: (index: number) => void }) {
  const { image } = useContext(LinksContext);
  const List = grid.strip ? "ol" : "ul";
  const columns = isShortStrip(grid) ? grid.items.length : grid.columns;
  const steps = columns ? { gridTemplateColumns: `repeat(${columns}, minmax(0, 7.5rem))` } : {};
  return (
    <List className={grid.strip ? "pictures strip" : "pictures"} style={steps}>
      {grid.items.map(({ picture, caption, note }, i) => (
        <li key={i}>
          <figure>
            <button type="button" className="enlarge" onClick={() => onOpen(i)} title="Enlarge">
              <PictureView picture={picture} />
            </button>
            <figcaption>
              {caption}
              {note && <span className="note">{note}</span>}
              {picture.row !== null && image(picture.row)}
            </figcaption>
          </figure>
        </li>
      ))}
    </List>
  );
}
