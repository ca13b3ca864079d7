import { useCallback, useEffect, useMemo, useState } from "react";
import type { ImageTable, Thumbnails } from "../../api";
import { useAbout } from "../about";
import { STATIC, useAsk } from "../ask";
import { Accuracy } from "../data/Accuracy";
import { Curves } from "../data/Curves";
import { Explore, type PartProps, startOf } from "../data/Explore";
import { Fairness } from "../data/Fairness";
import { Picked } from "../data/Picked";
import { Places } from "../data/Places";
import { Selected } from "../data/Selected";
import { type Fact, type Images, imagesOf, kept } from "../data/table";
import { type Tab, TABS, useView, type View } from "../data/view";
import { useJob } from "../jobs";

const PARTS: Record<Tab, (props: PartProps) => React.ReactNode> = {
  images: Explore,
  accuracy: Accuracy,
  curves: Curves,
  fairness: Fairness,
  places: Places,
};

/** All images with their predictions, and how predictions differ between groups. */
export function Data() {
  const { value: table, error, again } = useAsk<ImageTable>("/data/table");
  const images = useMemo(() => (table?.ready ? imagesOf(table) : null), [table]);
  const { value: thumbnails } = useAsk<Thumbnails>(images ? "/data/thumbnails" : null);
  return (
    <>
      <h1>Data and fairness</h1>
      {error && <p role="alert">{error}</p>}
      {table && !table.ready && <Preparing onDone={again} />}
      {images && thumbnails && <Workspace images={images} thumbnails={thumbnails} />}
    </>
  );
}

/** Makes the table of all images, where the run folder has none. */
function Preparing({ onDone }: { onDone: () => void }) {
  const about = useAbout();
  const { problem, start } = useJob();
  const can = about.can_compute && !STATIC;
  const make = useCallback(() => start("/data/table", undefined, onDone), [start, onDone]);
  useEffect(() => {
    if (can) make();
  }, [can, make]);
  if (!can) return <p>This run folder holds no table of images. Serve it with its model to make one.</p>;
  if (!problem) return <p role="status">Computing predictions and properties of {about.count} images …</p>;
  return (
    <>
      <p role="alert">{problem}</p>
      <button type="button" className="main-button" onClick={make}>
        Try again
      </button>
    </>
  );
}

const NONE: ReadonlySet<number> = new Set();

function Workspace({ images, thumbnails }: { images: Images; thumbnails: Thumbnails }) {
  const [view, change] = useView();
  const [rows, setRows] = useState<readonly number[]>([]);
  const [picked, setPicked] = useState<number | null>(null);
  const shown = useMemo(() => kept(images, view.where), [images, view.where]);
  const selected = useMemo(() => (rows.length > 0 ? new Set(rows) : NONE), [rows]);
  const onSelect = useCallback((chosen: readonly number[]) => (setRows(chosen), setPicked(null)), []);
  const Part = PARTS[view.tab];
  return (
    <>
      <nav className="tabs" aria-label="Views of the data">
        {Object.entries(TABS).map(([tab, name]) => (
          <button key={tab} type="button" aria-current={tab === view.tab ? "page" : undefined} onClick={() => change({ tab: tab as Tab })}>
            {name}
          </button>
        ))}
      </nav>
      <div className={rows.length > 0 || picked !== null ? "workspace with-side" : "workspace"}>
        <div className="workspace-main">
          <Part {...{ images, thumbnails, view, change, shown, selected, onSelect }} onPick={setPicked} />
        </div>
        <div className="workspace-side">
          {picked !== null && <Picked images={images} thumbnails={thumbnails} row={picked} onClose={() => setPicked(null)} />}
          {rows.length > 0 && (
            <Selected
              {...{ images, thumbnails, rows, picked }}
              facts={factsOf(images, view)}
              onPick={setPicked}
              onClear={() => onSelect([])}
            />
          )}
        </div>
      </div>
    </>
  );
}

/** What the table of selected images shows: the predictions, and what the plot shows. */
function factsOf(images: Images, view: View): Fact[] {
  const start = startOf(images);
  const names = ["class", "prediction", "probability", view.x || start.x, view.y || start.y, view.color || start.color];
  return [...new Set(names)].map((name) => images.facts.get(name)).filter((fact) => fact !== undefined);
}
