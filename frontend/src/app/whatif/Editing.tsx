import { useCallback, useEffect, useMemo, useReducer, useRef, useState } from "react";
import type { ImageFacts, ImageList } from "../../api";
import { formatNumber, formatShare } from "../../drawing/format";
import { useAbout } from "../about";
import { fileUrl } from "../ask";
import { BEGINNING, changed, type Edit, type ImageId, slidersFor, withKind } from "./edits";
import { Compare } from "./Compare";
import { Counterfactuals } from "./Counterfactuals";
import { EditCanvas } from "./EditCanvas";
import { Explain } from "./Explain";
import { loadPixels, parseColor } from "./pixels";
import { Response } from "./Response";
import { Scores } from "./Scores";
import { Sliders } from "./Sliders";
import { ToolBar } from "./ToolBar";
import { type Tool, TOOLS } from "./tools";
import { Trace } from "./Trace";
import { type Looked, useLook } from "./useLook";

interface Props {
  image: ImageId;
  facts: ImageFacts | null;
  list: ImageList;
}

/** One image that is edited, with its prediction and what explains it. */
export function Editing({ image, facts, list }: Props) {
  const about = useAbout();
  const [history, change] = useReducer(changed, BEGINNING);
  const step = history.steps[history.at]!;
  const [tracked, setTracked] = useState<number | null>(null);
  const [before, setBefore] = useState<ImageData | null>(null);
  const [pixels, setPixels] = useState<ImageData | null>(null);
  const [tool, setTool] = useState<Tool>("hide");
  const [color, setColor] = useState("#d02020");
  const side = Math.max(list.thumbnails.width, ...(about.size?.slice(0, 2) ?? []));
  const [size, setSize] = useState(Math.max(2, Math.round(side / 8)));
  const [problem, setProblem] = useState("");
  useEffect(() => {
    loadPixels(fileUrl(`/what-if/picture/${image}`)).then(
      (loaded) => (setBefore(loaded), setPixels((now) => now ?? loaded)),
      () => setProblem("This image cannot be shown; if it was uploaded, upload it again."),
    );
  }, [image]);

  const current = useRef(true); // Whether the canvas shows the step before the one that is looked at.
  const shown = useCallback(() => current.current, []);
  const { looked, error } = useLook(image, { step, tracked, beside: about.beside !== "", shown });
  useEffect(() => {
    if (!looked?.look.picture || looked.step.id !== step.id) return;
    let late = false;
    void loadPixels(looked.look.picture).then((loaded) => {
      if (!late) (setPixels(loaded), (current.current = true));
    });
    return () => void (late = true);
  }, [looked, step.id]);
  const values = useTrace(looked, tracked);
  const firstClass = looked?.look.scores.toSorted((a, b) => (b.before ?? 0) - (a.before ?? 0))[0]?.index;
  useEffect(() => setTracked((now) => now ?? firstClass ?? null), [firstClass]);

  const set = (key: string, label: string, edits: readonly Edit[]) => {
    current.current = false;
    change({ type: "set", key, label, edits });
  };
  const go = (to: number) => {
    current.current = false;
    change({ type: "go", to });
  };
  useShortcuts(setTool, () => go(history.at - 1), () => go(history.at + 1));
  const sliders = useMemo(() => (before ? slidersFor(before.height, before.width) : []), [before]);
  if (problem) return <p role="alert">{problem}</p>;
  if (!before || !pixels) return <p role="status">Loading…</p>;
  const { edits } = step;
  const scores = looked?.look.scores ?? [];
  const name = list.classes[tracked ?? -1] ?? "the prediction";
  const score = scores.find((each) => each.index === tracked);
  return (
    <>
      <div className="bench">
        <section aria-label="Canvas">
          <ToolBar
            tool={tool} color={color} size={size} most={Math.round(Math.min(before.height, before.width) / 2)}
            canUndo={history.at > 0} canRedo={history.at < history.steps.length - 1}
            onTool={setTool} onColor={setColor} onSize={setSize}
            onUndo={() => go(history.at - 1)} onRedo={() => go(history.at + 1)}
            onReset={() => set("reset", "Unedited", [])}
          />
          <EditCanvas
            pixels={pixels} tool={tool} color={parseColor(color)} size={size}
            onStroke={(stroke, patch, drawn, label) => {
              setPixels(drawn);
              const key = `stroke ${stroke}`;
              const under = step.key === key ? edits.slice(0, -1) : edits;
              change({ type: "set", key, label, edits: [...under, patch], local: true });
            }}
          />
        </section>
        <section aria-label="Prediction" className="predictions">
          {error && <p role="alert">{error}</p>}
          <Scores title={about.beside ? about.model : "Prediction"} scores={scores} tracked={tracked} onTrack={setTracked} />
          {looked && looked.look.beside.length > 0 && <Scores title={about.beside} scores={looked.look.beside} />}
          <p role="status" className="only-read">
            {score ? `${name}: ${formatShare(score.after)}` : ""}
          </p>
          {looked && <Timing looked={looked} />}
          <Trace name={name} history={history} values={values} onGo={go} />
        </section>
        <section aria-label="Whole image">
          <h3>Whole image</h3>
          <Sliders sliders={sliders} edits={edits} image={facts} count={list.images.length} onChange={set} />
        </section>
      </div>
      <div className="what-if-more">
        <div>
          <section>
            <h2>Before and after</h2>
            <Compare before={before} after={pixels} />
          </section>
          <section>
            <h2>Nearest images with another prediction</h2>
            <Counterfactuals
              image={image} edits={edits} list={list} scores={scores}
              onMorph={(row, share) =>
                set("morph", `Morph to image ${row}, ${formatShare(share)}`, withKind(edits, "blend", share > 0 ? { kind: "blend", row, share } : null))
              }
            />
          </section>
        </div>
        <div>
          <section>
            <h2>What does the prediction depend on?</h2>
            <Explain image={image} edits={edits} pixels={pixels} scores={scores} />
          </section>
          <section>
            <h2>How does the prediction respond to an edit?</h2>
            <Response image={image} facts={facts} list={list} edits={edits} sliders={sliders} scores={scores} />
          </section>
        </div>
      </div>
    </>
  );
}

function Timing({ looked: { look, took } }: { looked: Looked }) {
  const milliseconds = (value: number | null) => `${formatNumber(Math.round(value ?? 0))} ms`;
  return (
    <p className="quiet timing">
      Shown after {milliseconds(took)}, computed in {milliseconds(look.milliseconds)}
      {look.incremental ? " (only what changed)" : ""}. A whole forward pass takes {milliseconds(look.whole_milliseconds)}.
    </p>
  );
}

/** The probability of the followed class at each step that was looked at. */
function useTrace(looked: Looked | null, tracked: number | null): ReadonlyMap<number, number> {
  const [all, setAll] = useState<ReadonlyMap<number, Looked>>(new Map());
  useEffect(() => {
    if (looked) setAll((before) => new Map(before).set(looked.step.id, looked));
  }, [looked]);
  return useMemo(() => {
    const values = new Map<number, number>();
    for (const [id, { look }] of all) {
      const score = look.scores.find((each) => each.index === tracked);
      if (typeof score?.after === "number") values.set(id, score.after);
    }
    return values;
  }, [all, tracked]);
}

/** Digits choose tools; Ctrl-Z and Ctrl-Shift-Z (or Ctrl-Y) undo and redo. */
function useShortcuts(onTool: (tool: Tool) => void, onUndo: () => void, onRedo: () => void) {
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const typing = event.target instanceof Element && event.target.matches("input:not([type=range], [type=checkbox]), select, textarea");
      if (typing || event.altKey) return;
      const key = event.key.toLowerCase();
      const command = event.ctrlKey || event.metaKey;
      const chosen = command ? undefined : TOOLS[Number(key) - 1];
      if (chosen) onTool(chosen);
      else if (command && (key === "y" || (key === "z" && event.shiftKey))) onRedo();
      else if (command && key === "z") onUndo();
      else return;
      event.preventDefault();
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  });
}
