import { useState } from "react";
import type { Costs, JobFacts, Wanted } from "../../api";
import { useAbout } from "../about";
import { address, STATIC, tell, useAsk } from "../ask";
import { useJobs } from "../jobs";

interface Props {
  /** What the button says. */
  text: string;
  wanted: Pick<Wanted, "layer" | "technique"> & Partial<Wanted>;
  /** What it costs, of the costs of the layer. */
  cost: (costs: Costs) => number | null;
  onDone: () => void;
}

/** A button that computes what is missing; then how far it is, and what went wrong. */
export function Compute({ text, wanted, cost, onDone }: Props) {
  const about = useAbout();
  const { follow } = useJobs();
  const [job, setJob] = useState<JobFacts | null>(null);
  const [error, setError] = useState("");
  const possible = about.can_compute && !STATIC;
  const { value: costs } = useAsk<Costs>(possible ? address("/microscope/costs", { layer: wanted.layer }) : null);
  if (!possible) return <p className="quiet">This is not in the run folder, and there is no model to compute it.</p>;

  const start = async () => {
    setError("");
    try {
      const id = await tell<number>("POST", "/microscope/compute", wanted);
      follow(id, (now) => {
        setJob(now);
        if (now.state === "done") onDone();
      });
    } catch (problem) {
      setError((problem as Error).message);
    }
  };
  const runs = job?.state === "waiting" || job?.state === "running";
  const seconds = costs && cost(costs);
  return (
    <div className="compute" aria-live="polite">
      {runs ? (
        <p>
          {job.state === "waiting" ? "Waiting for other jobs …" : job.task || "Starting …"}{" "}
          <progress aria-label={text} max={job.total || 1} {...(job.total ? { value: job.done } : {})} />
        </p>
      ) : (
        <button type="button" className="plain" onClick={() => void start()}>
          {text}
          {seconds ? ` (about ${duration(seconds)})` : ""}
        </button>
      )}
      {job?.state === "failed" && <p role="alert">{job.error}</p>}
      {error && <p role="alert">{error}</p>}
    </div>
  );
}

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}
