import { useEffect, useMemo, useState } from "react";
import { useSearchParams } from "wouter";
import type { Curve, Heatmaps } from "../../audit";
import type { JobFacts, MethodFacts } from "../../api";
import { CurveView } from "../../evidence/CurveView";
import { HeatmapsView } from "../../evidence/HeatmapsView";
import { useAbout } from "../about";
import { fileUrl, STATIC, tell, useAsk } from "../ask";
import { ClassChoice, ClassesChoice } from "../ClassChoice";
import { useJobs } from "../jobs";
import { MethodForm, plain, type Settings } from "../MethodForm";
import { useImages } from "../useImages";
import { ImagePicker } from "../whatif/ImagePicker";
import { AttackOutcome, type Outcome } from "../attack/AttackOutcome";
import { AttackWatch, type Step } from "../attack/AttackWatch";
import { BoxChoice, type Box } from "../attack/BoxChoice";

const FIRST = "pgd";

/** Run any attack of the catalogue on images of the run, and watch it. */
export function AttackLab() {
  const about = useAbout();
  const { value: methods } = useAsk<MethodFacts[]>(STATIC ? null : "/methods?family=attacks");
  const [search, setSearch] = useSearchParams();
  const chosen = methods?.find((method) => method.name === (search.get("method") ?? FIRST));
  const { list, problem } = useImages();
  const row = Math.min(Math.max(0, Math.round(Number(search.get("image") ?? 0)) || 0), Math.max(0, (list?.images.length ?? 1) - 1));
  const small = (about.size?.[0] ?? 224) < 96;
  const [target, setTarget] = useState<number | null>(null);
  const [classes, setClasses] = useState<number[]>([]);
  const [rows, setRows] = useState<number[]>([]);
  const [box, setBox] = useState<Box | null>(null);
  const [settings, setSettings] = useState<Settings>({});
  const { job, error, run, stop } = useAttack();
  const set = (name: string, value: string) =>
    setSearch((now) => (now.set(name, value), now), { replace: name === "image" });
  useEffect(() => setSettings({}), [chosen?.name]);

  if (STATIC || !about.can_compute)
    return (
      <>
        <h1>Attack lab</h1>
        <p>Attacks need the model: start this page with `deeptroubles serve MODEL --images IMAGES`.</p>
      </>
    );
  if (!methods || !chosen || !list)
    return (
      <>
        <h1>Attack lab</h1>
        <p role={problem ? "alert" : "status"}>{problem || "The model looks at the images first…"}</p>
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
  const running = job !== null && (job.state === "waiting" || job.state === "running");
  return (
    <>
      <h1>Attack lab</h1>
      {takes.has("images") && <ImagePicker list={list} image={row} onChoose={(next) => set("image", String(next))} />}
      <div className="lab">
        <form className="lab-order" onSubmit={(event) => (event.preventDefault(), void run("/attack", order))}>
          <label htmlFor="attack-method">Attack</label>
            <select id="attack-method" value={chosen.name} onChange={(event) => set("method", event.target.value)}>
              {methods.map((method) => (
                <option key={method.name} value={method.name}>
                  {plain(method.name)}
                </option>
              ))}
            </select>
          <p className="quiet">{chosen.summary}</p>
          {takes.has("images") && (
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
          {takes.has("mask") && <BoxChoice row={row} size={about.size} box={box} onChange={setBox} />}
          <MethodForm method={chosen} settings={settings} onChange={setSettings} />
          <p className="lab-buttons">
            <button type="submit" className="main-button" disabled={running}>
              Attack
            </button>
            <button type="button" disabled={!running} onClick={stop}>
              Stop
            </button>
            <button type="button" disabled={running} onClick={() => void run("/attack/pixel-map", { row })}>
              Map where one pixel matters
            </button>
          </p>
          {error && <p role="alert">{error}</p>}
        </form>
        <section className="lab-result" aria-label="What comes of it">
          {running && <AttackWatch step={(job.step ?? null) as Step | null} task={job.task} />}
          {job && !running && <Ended job={job} />}
          {!job && <p className="quiet">Choose an attack and an image, then press Attack.</p>}
        </section>
      </div>
    </>
  );
}

/** What came of a job: an outcome with pictures, or a map. */
function Ended({ job }: { job: JobFacts }) {
  if (job.state === "failed") return <p role="alert">{job.error}</p>;
  if (job.state === "cancelled")
    return (
      <>
        <p role="status">Stopped.</p>
        <AttackWatch step={(job.step ?? null) as Step | null} task="the last picture that was tried" />
      </>
    );
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

/** Start an attack, follow it and stop it. */
function useAttack() {
  const { follow } = useJobs();
  const [job, setJob] = useState<JobFacts | null>(null);
  const [error, setError] = useState("");
  return useMemo(
    () => ({
      job,
      error,
      run: async (path: string, order: unknown) => {
        setError("");
        setJob(null);
        try {
          follow(await tell<number>("POST", path, order), setJob);
        } catch (problem) {
          setError((problem as Error).message);
        }
      },
      stop: () => job && void tell("DELETE", `/jobs/${job.id}`),
    }),
    [job, error, follow],
  );
}
