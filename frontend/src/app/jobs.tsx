/** Jobs in the background: start one, follow it, stop it. */
import { createContext, type ReactNode, useCallback, useContext, useEffect, useMemo, useRef, useState } from "react";
import type { JobFacts } from "../api";
import { ask, ROOT, STATIC, tell } from "./ask";

const isOver = ({ state }: JobFacts) => state === "done" || state === "failed" || state === "cancelled";

/** Calls `onChange` with every change of a job until it is over; returns a function that stops listening. */
function listen(id: number, onChange: (job: JobFacts) => void): () => void {
  const source = new EventSource(`${ROOT}/api/jobs/${id}/events`);
  source.onmessage = (event: MessageEvent<string>) => {
    const job = JSON.parse(event.data) as JobFacts;
    if (isOver(job)) source.close();
    onChange(job);
  };
  return () => source.close();
}

interface Tray {
  jobs: readonly JobFacts[];
  follow: (id: number, onChange?: (job: JobFacts) => void) => void;
  dismiss: (id: number) => void;
}

const Context = createContext<Tray>({ jobs: [], follow: () => {}, dismiss: () => {} });

/** The jobs of this page: `follow` shows a job in the tray until it is over. */
export const useJobs = () => useContext(Context);

interface Started {
  /** The job as it is now; null before the first one. */
  job: JobFacts | null;
  /** Whether it was requested and is not over. */
  running: boolean;
  /** Why it gave no result. */
  problem: string;
  start: (path: string, body?: unknown, onDone?: (job: JobFacts) => void) => void;
}

/** A job that this component starts; `start` asks the server for it. The server may answer that there is nothing to do. */
export function useJob(): Started {
  const { follow } = useJobs();
  const [job, setJob] = useState<JobFacts | null>(null);
  const [running, setRunning] = useState(false);
  const [problem, setProblem] = useState("");
  const start = useCallback<Started["start"]>(
    (path, body, onDone) => {
      const end = (reason: string) => (setProblem(reason), setRunning(false));
      const onChange = (now: JobFacts) => {
        setJob(now);
        if (!isOver(now)) return;
        end(now.state === "cancelled" ? "This was stopped before it was done." : now.error);
        if (now.state === "done") onDone?.(now);
      };
      setJob(null);
      setProblem("");
      setRunning(true);
      tell<number | null>("POST", path, body).then(
        (id) => (id === null ? end("") : follow(id, onChange)),
        (refused: Error) => end(refused.message),
      );
    },
    [follow],
  );
  return { job, running, problem, start };
}

export function JobsProvider({ children }: { children: ReactNode }) {
  const [jobs, setJobs] = useState<readonly JobFacts[]>([]);
  const watched = useRef(new Map<number, () => void>());
  const follow = useCallback((id: number, onChange?: (job: JobFacts) => void) => {
    watched.current.get(id)?.();
    const end = listen(id, (job) => {
      setJobs((all) => [job, ...all.filter((other) => other.id !== id)].sort((a, b) => a.id - b.id));
      onChange?.(job);
      if (isOver(job)) watched.current.delete(id);
      if (job.state === "done" || job.state === "cancelled") setJobs((all) => all.filter((other) => other.id !== id));
    });
    watched.current.set(id, end);
  }, []);
  const dismiss = useCallback((id: number) => setJobs((all) => all.filter((job) => job.id !== id)), []);
  useEffect(() => {
    if (STATIC) return;
    ask<JobFacts[]>("/jobs").then(
      (all) => all.filter((job) => !isOver(job)).forEach((job) => follow(job.id)),
      () => {},
    );
    const ends = watched.current;
    return () => ends.forEach((end) => end());
  }, [follow]);
  const tray = useMemo(() => ({ jobs, follow, dismiss }), [jobs, follow, dismiss]);
  return <Context value={tray}>{children}</Context>;
}

/** What runs in the background, with progress and a button that stops it. */
export function JobTray() {
  const { jobs, dismiss } = useJobs();
  const running = jobs.filter((job) => !isOver(job)).length;
  return (
    <aside className="tray" aria-label="Background jobs">
      {jobs.map((job) => (
        <div key={job.id} className="job">
          <strong>{job.title}</strong>
          {job.state === "failed" ? (
            <>
              <span role="alert" className="job-error">
                {job.error}
              </span>
              <button type="button" className="plain" aria-label={`Close ${job.title}`} onClick={() => dismiss(job.id)}>
                Close
              </button>
            </>
          ) : (
            <>
              <span className="job-task">{job.state === "waiting" ? "waiting" : job.task}</span>
              <progress aria-label={job.title} max={job.total || 1} {...(job.total ? { value: job.done } : {})} />
              <button
                type="button"
                className="plain"
                aria-label={`Stop ${job.title}`}
                onClick={() => void tell("DELETE", `/jobs/${job.id}`)}
              >
                Stop
              </button>
            </>
          )}
        </div>
      ))}
      <span role="status" className="only-read">
        {running > 0 ? `${running} running in the background` : ""}
      </span>
    </aside>
  );
}
