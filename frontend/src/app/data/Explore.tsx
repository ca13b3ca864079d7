import { useMemo } from "react";
import type { Thumbnails } from "../../api";
import { formatCount } from "../../drawing/format";
import { useFact, useMap } from "./axes";
import { FactSelect } from "./FactSelect";
import { Filters } from "./Filters";
import { Scatter } from "./Scatter";
import type { Fact, Images } from "./table";
import type { Change, View } from "./view";

export interface PartProps {
  images: Images;
  thumbnails: Thumbnails;
  view: View;
  change: Change;
  shown: Uint8Array;
  selected: ReadonlySet<number>;
  onSelect: (rows: readonly number[]) => void;
  onPick: (row: number) => void;
}

/** The axes that are shown when the address names none. */
export function startOf(images: Images): { x: string; y: string; color: string } {
  const first = (...names: string[]) => names.find((name) => images.facts.has(name)) ?? "";
  return { x: first("brightness", "contrast"), y: first("probability", "contrast"), color: first("correct", "prediction") };
}

/** All images in one plot, by two facts and in the color of a third. */
export function Explore(props: PartProps) {
  const { images, view, change, shown } = props;
  const start = useMemo(() => startOf(images), [images]);
  const [x, y, color] = [view.x || start.x, view.y || start.y, view.color || start.color];
  const { map, problem } = useMap({ ...view, x, y, color }, images);
  const [xFact, yFact] = [useFact(x, images, map), useFact(y, images, map)];
  const colorFact = useFact(color, images, map);
  const absent = useMemo(() => absentOf(xFact, yFact, shown), [xFact, yFact, shown]);
  const onMap = [x, y].some((name) => name.startsWith("map:"));
  return (
    <div className="explore">
      <div className="controls">
        <FactSelect label="Vertical axis" images={images} value={y} more onChange={(name) => change({ y: name })} />
        <FactSelect label="Horizontal axis" images={images} value={x} more onChange={(name) => change({ x: name })} />
        <FactSelect label="Color" images={images} value={color} more onChange={(name) => change({ color: name })} />
        {images.layers.length > 0 && !onMap && (
          <button type="button" className="plain" onClick={() => change({ x: "map:1", y: "map:2" })}>
            Map of a layer
          </button>
        )}
        {onMap && <MapChoice images={images} view={view} change={change} />}
      </div>
      <Filters images={images} where={view.where} left={shown.reduce((sum, one) => sum + one, 0)} onChange={(where) => change({ where })} />
      {problem && <p role="alert">{problem}</p>}
      {xFact && yFact ? (
        <>
          <Scatter {...props} x={xFact} y={yFact} color={colorFact} />
          {absent > 0 && (
            <p className="quiet">
              {formatCount(absent, "image is", "images are")} not in the plot, because a value is missing
              {onMap && view.layout === "tsne" ? " or because t-SNE places at most 5,000" : ""}.
            </p>
          )}
        </>
      ) : (
        <p role="status" className="quiet">
          {onMap && !problem ? "Computing the map …" : "Loading …"}
        </p>
      )}
    </div>
  );
}

function absentOf(x: Fact | null, y: Fact | null, shown: Uint8Array): number {
  if (!x || !y) return 0;
  return shown.reduce((sum, one, row) => sum + (one && (Number.isNaN(x.values[row]) || Number.isNaN(y.values[row])) ? 1 : 0), 0);
}

function MapChoice({ images, view, change }: { images: Images; view: View; change: Change }) {
  return (
    <>
      <label className="field">
        <span>Layer</span>
        <select value={view.layer || images.layers.at(-1)} onChange={(event) => change({ layer: event.target.value })}>
          {images.layers.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      <label className="field">
        <span>Layout</span>
        <select value={view.layout} onChange={(event) => change({ layout: event.target.value as View["layout"] })}>
          <option value="pca">PCA: most variance</option>
          <option value="tsne">t-SNE: neighbors</option>
        </select>
      </label>
    </>
  );
}
