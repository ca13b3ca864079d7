import { useEffect, useState } from "react";
import { useSearchParams } from "wouter";
import type { Curve, Heatmaps } from "../../audit";
import type { JobFacts, MethodFacts } from "../../api";
import { CurveView } from "../../evidence/CurveView";
import { HeatmapsView } from "../../evidence/HeatmapsView";
import { useAbout } from "../about";
import { fileUrl, STATIC, tell, useAsk } from "../ask";
import { ClassChoice, ClassesChoice } from "../ClassChoice";
import { useJob } from "../jobs";
import { MethodForm, plain, type Settings } from "../MethodForm";
import { COMPUTING, useImages } from "../useImages";
import { ImagePicker } from "../whatif/ImagePicker";
import { AttackOutcome, type Outcome } from "../attack/AttackOutcome";
import { AttackWatch, type Step } from "../attack/AttackWatch";
import { BoxChoice, type Box } from "../attack/BoxChoice";

const FIRST = "pgd";

/** Run any attack of the catalogue on images of the run, and watch it. */
export function AttackLab() {
  const about = useAbout();
  const { value: methods, error } = useAsk<MethodFacts[]>(STATIC ? null : "/methods?family=attacks");
  const [search, setSearch] = useSearchParams();
  const named = (name: string | null) => methods?.find((method) => method.name === name);
  const chosen = named(search.get("method")) ?? named(FIRST);
  const { list, problem: noImages } = useImages();
  const row = Math.min(Math.max(0, Math.round(Number(search.get("image") ?? 0)) || 0), Math.max(0, (list?.images.length ?? 1) - 1));
  const small = (about.size?.[0] ?? 224) < 96;
  const [target, setTarget] = useState<number | null>(null);
  const [classes, setClasses] = useState<number[]>([]);
  const [rows, setRows] = useState<number[]>([]);
  const [box, setBox] = useState<Box | null>(null);
  const [settings, setSettings] = useState<Settings>({});
  const { job, running, problem, start } = useJob();
  const set = (name: string, value: string) =>
    setSearch((now) => (now.set(name, value), now), { replace: name === "image" });
  useEffect(() => setSettings({}), [chosen?.name]);

  if (STATIC || !about.can_compute)
    return (
      <>
        <h1>Attack lab</h1>
        <p>
          Attacks need the model: start this page with <code>deeptroubles serve MODEL --images IMAGES</code>.
        </p>
      </>
    );
  if (!methods || !chosen || !list)
    return (
      <>
        <h1>Attack lab</h1>
        <p role={error || noImages ? "alert" : "status"}>{error || noImages || COMPUTING}</p>
      </>
    );
  const takes = new Set(chosen.takes);
  const many = [row, ...rows.filter((other) => other !== row)];
  const given = Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== ""));
  const order = {
    method: chosen.name,
    rows: takes.has("images") ? (takes.has("classes") || chosen.name === "patch" ? many : [row]) : [],
    target: takes.has("targets") || takes.has("target") ? target : null,
    classes: takes.has("classes") ? (classes.length > 0 ? classes : target === null ? [] : [target]) : [],
    box: takes.has("mask") && box ? [box.top, box.left, box.bottom, box.right] : null,
    settings: given,
  };
  return (
    <>
      <h1>Attack lab</h1>
      {takes.has("images") && <ImagePicker list={list} image={row} onChoose={(next) => set("image", String(next))} />}
      <div className="lab">
        <form className="lab-order" onSubmit={(event) => (event.preventDefault(), start("/attack", order))}>
          <div className="field">
            <label htmlFor="attack-method">Attack</label>
            <select id="attack-method" value={chosen.name} onChange={(event) => set("method", event.target.value)}>
              {methods.map((method) => (
                <option key={method.name} value={method.name}>
                  {plain(method.name)}
                </option>
              ))}
            </select>
          </div>
          <p className="quiet">{chosen.summary}</p>
          {takes.has("images") && !takes.has("mask") && (
            <img src={fileUrl(`/images/${row}/picture`)} alt={`Image ${row}`} className={small ? "lab-picture pixelated" : "lab-picture"} />
          )}
          {(takes.has("classes") || chosen.name === "patch") && takes.has("images") && (
            <MoreImages rows={rows} count={list.images.length} onChange={setRows} />
          )}
          {(takes.has("targets") || takes.has("target")) && (
            <ClassChoice
              label="Target"
              none="any other class"
              names={about.classes}
              value={target}
              onChange={setTarget}
            />
          )}
          {takes.has("classes") && <ClassesChoice names={about.classes} value={classes} onChange={setClasses} />}
          {takes.has("mask") && <BoxChoice row={row} size={about.size} small={small} box={box} onChange={setBox} />}
          <MethodForm method={chosen} settings={settings} onChange={setSettings} />
          <p className="lab-buttons">
            <button type="submit" className="main-button" disabled={running}>
              Attack
            </button>
            <button
              type="button"
              className="plain"
              disabled={!running || !job}
              onClick={() => job && void tell("DELETE", `/jobs/${job.id}`)}
            >
              Stop
            </button>
            <button type="button" className="plain" disabled={running} onClick={() => start("/attack/pixel-map", { row })}>
              Map where one pixel matters
            </button>
          </p>
          {problem && <p role="alert">{problem}</p>}
        </form>
        <section aria-label="Result">
          {running && <AttackWatch step={stepOf(job)} task={job?.task ?? ""} />}
          {job && !running && <Ended job={job} />}
          {!job && !running && <p className="quiet">Choose an attack and an image, then press Attack.</p>}
        </section>
      </div>
    </>
  );
}

const stepOf = (job: JobFacts | null) => (job?.step ?? null) as Step | null;

/** The result of a job: an outcome with pictures, a map, or the last picture of an attack that was stopped. */
function Ended({ job }: { job: JobFacts }) {
  if (job.state === "failed") return null;
  if (job.state === "cancelled") return <AttackWatch step={stepOf(job)} task="the last picture that was tried" />;
  const result = job.result as Outcome | Heatmaps;
  if ("kind" in result) return <HeatmapsView group={result} printing={false} />;
  return (
    <>
      <AttackOutcome outcome={result} />
      {result.curves.map((curve: Curve) => (
        <CurveView key={curve.title} curve={curve} printing={false} />
      ))}
    </>
  );
}

/** Further images, by number, for attacks that work on several at once. */
function MoreImages({ rows, count, onChange }: { rows: number[]; count: number; onChange: (rows: number[]) => void }) {
  const [text, setText] = useState(rows.join(", "));
  return (
    <label>
      Further images, by number (at most nine)
      <input
        value={text}
        placeholder="3, 5, 8"
        onChange={(event) => {
          setText(event.target.value);
          const numbers = event.target.value.split(/[^0-9]+/).filter(Boolean).map(Number);
          onChange([...new Set(numbers.filter((n) => n < count))].slice(0, 9));
        }}
      />
    </label>
  );
}


