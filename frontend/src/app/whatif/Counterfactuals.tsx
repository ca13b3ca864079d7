import { useState } from "react";
import type { ClassScore, ImageList, Nearest, NearestAsked, Neighbor } from "../../api";
import { formatNumber, formatShare } from "../../drawing/format";
import { tell } from "../ask";
import { useJob } from "../jobs";
import type { Edit, ImageId } from "./edits";
import { TopClassChoice } from "./Explain";
import { thumbnail } from "./ImagePicker";
import { Range } from "./Sliders";

interface Props {
  image: ImageId;
  edits: readonly Edit[];
  list: ImageList;
  scores: readonly ClassScore[];
  /** Mix with another image; a share of 0 removes the edit. */
  onMorph: (row: number, share: number) => void;
}

/** The nearest images with another prediction, and a morph to one of them. */
export function Counterfactuals({ image, edits, list, scores, onMorph }: Props) {
  const { running, problem, start } = useJob();
  const [to, setTo] = useState("");
  const [found, setFound] = useState<Nearest | null>(null);
  const [searching, setSearching] = useState(false);
  const [refused, setRefused] = useState("");
  const busy = searching || running;
  const blend = edits.find((edit) => edit.kind === "blend");
  const without = edits.filter((edit) => edit.kind !== "blend");
  const find = async () => {
    setSearching(true);
    setRefused("");
    const asked: NearestAsked = { image, edits: without, to: to ? Number(to) : null };
    try {
      const nearest = await tell<Nearest>("POST", "/what-if/nearest", asked);
      if (nearest.ready) setFound(nearest);
      else start("/what-if/describe", undefined, () => void find());
    } catch (failure) {
      setRefused((failure as Error).message);
    }
    setSearching(false);
  };
  return (
    <div className="nearest">
      <form
        className="what-if-form"
        onSubmit={(event) => {
          event.preventDefault();
          void find();
        }}
      >
        <TopClassChoice label="Predicted as" none="any other class" value={to} scores={scores} onChange={setTo} />
        <button type="submit" className="plain" disabled={busy}>
          {busy ? "Searching…" : "Find the nearest"}
        </button>
      </form>
      {(refused || problem) && <p role="alert">{refused || problem}</p>}
      <div aria-live="polite" className="neighbors">
        {found && <Neighbors title="By the model's embedding" near={found.by_embedding} list={list} chosen={blend?.row} onChoose={onMorph} />}
        {found && <Neighbors title="By pixels" near={found.by_pixels} list={list} chosen={blend?.row} onChoose={onMorph} />}
      </div>
      {blend && (
        <Range label={`Morph to image ${blend.row}`} low={0} high={1} step={0.01} unit="" value={blend.share ?? 0} onChange={(share) => onMorph(blend.row, share)} />
      )}
    </div>
  );
}

interface NeighborsProps {
  title: string;
  near: readonly Neighbor[];
  list: ImageList;
  chosen: number | undefined;
  onChoose: (row: number, share: number) => void;
}

function Neighbors({ title, near, list, chosen, onChoose }: NeighborsProps) {
  return (
    <section>
      <h4>{title}</h4>
      {near.length === 0 && <p>No image has such a prediction.</p>}
      <ul>
        {near.map((each) => (
          <li key={each.row}>
            <button
              type="button"
              className="picker-thumbnail"
              aria-label={`Morph to image ${each.row}, predicted ${each.name}`}
              aria-pressed={each.row === chosen}
              style={thumbnail(list, each.row)}
              onClick={() => onChoose(each.row, 0.5)}
            />
            <span>
              {each.name} {formatShare(each.confidence)}
              <br />
              <span className="quiet">distance {formatNumber(each.distance)}</span>
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
