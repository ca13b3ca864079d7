import { useState } from "react";
import type { ClassScore, ExplanationAsked, MethodFacts } from "../../api";
import type { Heatmaps } from "../../audit";
import { HeatmapsView } from "../../evidence/HeatmapsView";
import { formatNumber } from "../../drawing/format";
import { useAsk } from "../ask";
import { useJob } from "../jobs";
import { plain, Setting } from "../MethodForm";
import { toUrl } from "./pixels";
import type { Edit, ImageId } from "./edits";

interface Props {
  image: ImageId;
  edits: readonly Edit[];
  pixels: ImageData;
  scores: readonly ClassScore[];
}

/** What the job gives; see `Explanation` in the server's what_if.py. */
interface Explanation {
  values: number[][];
  method: string;
  target: string;
  against: string;
  seconds: number;
}

/** Any attribution method, on the edited image. */
export function Explain({ image, edits, pixels, scores }: Props) {
  const { value: methods } = useAsk<MethodFacts[]>("/methods?family=attribution");
  const { running, problem, start } = useJob();
  const [name, setName] = useState("grad_cam");
  const [settings, setSettings] = useState<Record<string, string>>({});
  const [target, setTarget] = useState("");
  const [against, setAgainst] = useState("");
  const [shown, setShown] = useState<{ heatmaps: Heatmaps; seconds: number } | null>(null);

  if (!methods) return null;
  const method = methods.find((each) => each.name === name)!;
  const takesAgainst = method.takes.includes("against");
  const explained = target ? Number(target) : scores[0]?.index;
  const others = scores.filter((score) => score.index !== explained);
  const explain = () => {
    const picture = { src: toUrl(pixels), alt: "The edited image", width: pixels.width, height: pixels.height };
    const asked: ExplanationAsked = {
      image, edits: [...edits], method: name, settings, target: target ? Number(target) : null, against: against && takesAgainst ? Number(against) : null,
    };
    start("/what-if/explain", asked, (job) => setShown(asHeatmaps(job.result as Explanation, picture)));
  };
  return (
    <div className="explain">
      <form
        className="what-if-form"
        onSubmit={(event) => {
          event.preventDefault();
          explain();
        }}
      >
        <label>
          Method
          <select value={name} onChange={(event) => (setName(event.target.value), setSettings({}))}>
            {methods.map((each) => (
              <option key={each.name} value={each.name}>
                {plain(each.name)}
              </option>
            ))}
          </select>
        </label>
        <TopClassChoice label="Class" none="the predicted one" value={target} scores={scores} onChange={setTarget} />
        {takesAgainst && <TopClassChoice label="Minus the class" none="none" value={against} scores={others} onChange={setAgainst} />}
        {method.parameters.map((parameter) => (
          <Setting
            key={`${name}.${parameter.name}`}
            parameter={parameter}
            value={settings[parameter.name] ?? ""}
            onChange={(value) => setSettings({ ...settings, [parameter.name]: value })}
          />
        ))}
        <button type="submit" className="plain" disabled={running}>
          {running ? "Explaining…" : "Explain"}
        </button>
      </form>
      <p className="quiet">{method.summary}</p>
      {problem && <p role="alert">{problem}</p>}
      <div aria-live="polite">
        {shown && (
          <>
            <HeatmapsView group={shown.heatmaps} printing={false} />
            <p className="quiet">Computed in {formatNumber(shown.seconds)} s.</p>
          </>
        )}
      </div>
    </div>
  );
}

function asHeatmaps(found: Explanation, picture: { src: string; alt: string; width: number; height: number }) {
  const numbers = found.values.flat();
  const low = Math.min(...numbers);
  const score = found.against ? `${found.target} minus ${found.against}` : found.target;
  const heatmaps: Heatmaps = {
    kind: "heatmaps",
    title: `${plain(found.method)}: ${score}`,
    items: [{ values: found.values, caption: "", alt: `What ${score} depends on, by ${plain(found.method)}`, picture: { ...picture, row: null }, x_ticks: null, y_ticks: null }],
    scale_label: "relevance",
    low,
    high: Math.max(...numbers),
    diverging: low < 0,
    x_label: "",
    y_label: "",
  };
  return { heatmaps, seconds: found.seconds };
}

interface ChoiceProps {
  label: string;
  none: string;
  value: string;
  scores: readonly ClassScore[];
  onChange: (value: string) => void;
}

/** One of the most likely classes. */
export function TopClassChoice({ label, none, value, scores, onChange }: ChoiceProps) {
  return (
    <label>
      {label}
      <select value={value} onChange={(event) => onChange(event.target.value)}>
        <option value="">{none}</option>
        {scores.map((score) => (
          <option key={score.index} value={score.index}>
            {score.name}
          </option>
        ))}
      </select>
    </label>
  );
}
