import { useState } from "react";
import type { ClassScore, CurveAsked, ImageFacts, ImageList } from "../../api";
import type { Curve } from "../../audit";
import { CurveView } from "../../evidence/CurveView";
import { useJob } from "../jobs";
import { type Edit, type ImageId, type Slider, withSlider } from "./edits";

interface Props {
  image: ImageId;
  facts: ImageFacts | null;
  list: ImageList;
  edits: readonly Edit[];
  sliders: readonly Slider[];
  scores: readonly ClassScore[];
}

/** What the job gives; see `ResponseCurve` in the server's what_if.py. */
interface ResponseCurve {
  parameter: string;
  values: number[];
  classes: { index: number; name: string; mean: number[]; low: number[]; high: number[]; each: number[][] }[];
  images: number;
}

const MOST = 100;
const CLASSES = 3;

/** How the probabilities respond to a slider, for this image or for many. */
export function Response({ image, facts, list, edits, sliders, scores }: Props) {
  const { running, problem, start } = useJob();
  const blend = edits.find((edit) => edit.kind === "blend");
  const choices = blend ? [MORPH, ...sliders] : sliders;
  const [chosen, setChosen] = useState("turn.degrees");
  const [slice, setSlice] = useState("this");
  const [shown, setShown] = useState<Curve | null>(null);

  const slider = choices.find((each) => nameOf(each) === chosen) ?? choices[0]!;
  const slices = slicesOf(list, facts);
  const draw = () => {
    const with_ = blend && slider === MORPH ? [...edits] : withSlider(edits, slider, slider.high);
    const rows = slices.find((each) => each.key === slice)?.rows;
    const asked = {
      images: rows ?? [image],
      edits: with_,
      place: with_.findIndex((edit) => edit.kind === slider.kind),
      parameter: slider.parameter,
      start: slider.low,
      stop: slider.high,
      steps: 21,
      classes: scores.slice(0, CLASSES).map((score) => score.index),
    } as unknown as CurveAsked;
    start("/what-if/curve", asked, (job) => setShown(asCurve(job.result as ResponseCurve, slider)));
  };
  return (
    <div className="response">
      <form
        className="what-if-form"
        onSubmit={(event) => {
          event.preventDefault();
          draw();
        }}
      >
        <label>
          Vary
          <select value={nameOf(slider)} onChange={(event) => setChosen(event.target.value)}>
            {choices.map((each) => (
              <option key={nameOf(each)} value={nameOf(each)}>
                {each.label}
              </option>
            ))}
          </select>
        </label>
        <label>
          For
          <select value={slice} onChange={(event) => setSlice(event.target.value)}>
            <option value="this">this image</option>
            {slices.map((each) => (
              <option key={each.key} value={each.key}>
                {each.name}
              </option>
            ))}
          </select>
        </label>
        <button type="submit" className="plain" disabled={running}>
          {running ? "Computing…" : "Draw the curve"}
        </button>
      </form>
      {problem && <p role="alert">{problem}</p>}
      <div aria-live="polite">{shown && <CurveView curve={shown} printing={false} />}</div>
    </div>
  );
}

const MORPH: Slider = { kind: "blend", parameter: "share", label: "Morph", low: 0, high: 1, step: 0.01, neutral: 0, unit: "" };
const nameOf = (slider: Slider) => `${slider.kind}.${slider.parameter}`;

function slicesOf(list: ImageList, facts: ImageFacts | null) {
  const some = (key: string, what: string, images: readonly ImageFacts[]) => {
    const rows = images.slice(0, MOST).map((each) => each.row);
    const name = rows.length < images.length ? `the first ${MOST} of ${images.length} images ${what}` : `the ${rows.length} images ${what}`;
    return { key, name: name.trim(), rows };
  };
  const slices = [some("all", "", list.images)];
  if (facts) {
    slices.push(some("predicted", `predicted ${list.classes[facts.prediction]}`, list.images.filter((each) => each.prediction === facts.prediction)));
    if (facts.label >= 0) slices.push(some("label", `labelled ${list.classes[facts.label]}`, list.images.filter((each) => each.label === facts.label)));
  }
  return slices;
}

function asCurve(found: ResponseCurve, slider: Slider): Curve {
  const many = found.images > 1;
  return {
    kind: "curve",
    title: many ? `Mean over ${found.images} images, with 95% intervals` : "This image",
    x_label: slider.unit ? `${slider.label} (${slider.unit.trim()})` : slider.label,
    y_label: "probability",
    x_scale: "linear",
    y_range: [0, 1],
    series: found.classes.map((each) => ({
      name: each.name, x: found.values, y: each.mean, low: many ? each.low : null, high: many ? each.high : null, reference: false,
    })),
  };
}
