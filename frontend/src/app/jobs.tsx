/** Jobs in the background: start one, watch it, stop it. */
import { createContext, type ReactNode, useCallback, useContext, useEffect, useMemo, useRef, useState } from "react";
import type { JobFacts } from "../api";
import { ask, ROOT, STATIC, tell } from "./ask";

const OVER = new Set(["done", "failed", "cancelled"]);

/** Watch a job until it is over; returns what ends the watching. */
export function watch(id: number, onChange: (job: JobFacts) => void): () => void {
  const source = new EventSource(`${ROOT}/api/jobs/${id}/events`);
  source.onmessage = (event: MessageEvent<string>) => {
    const job = JSON.parse(event.data) as JobFacts;
    if (OVER.has(job.state)) source.close();
    onChange(job);
  };
  source.onerror = () => source.readyState === EventSource.CLOSED && source.close();
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

export function JobsProvider({ children }: { children: ReactNode }) {
  const [jobs, setJobs] = useState<readonly JobFacts[]>([]);
  const watched = useRef(new Map<number, () => void>());
  const follow = useCallback((id: number, onChange?: (job: JobFacts) => void) => {
    watched.current.get(id)?.();
    const end = watch(id, (job) => {
      setJobs((all) => [job, ...all.filter((other) => other.id !== id)].sort((a, b) => a.id - b.id));
      onChange?.(job);
      if (OVER.has(job.state)) watched.current.delete(id);
      if (job.state === "done" || job.state === "cancelled") setJobs((all) => all.filter((other) => other.id !== id));
    });
    watched.current.set(id, end);
  }, []);
  const dismiss = useCallback((id: number) => setJobs((all) => all.filter((job) => job.id !== id)), []);
  useEffect(() => {
    if (STATIC) return;
    ask<JobFacts[]>("/jobs").then(
      (all) => all.filter((job) => !OVER.has(job.state)).forEach((job) => follow(job.id)),
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
              <button type="button" onClick={() => dismiss(job.id)}>
                Close
              </button>
            </>
          ) : (
            <>
              <span className="job-task">{job.state === "waiting" ? "waiting" : job.task}</span>
              <progress aria-label={job.title} max={job.total || 1} {...(job.total ? { value: job.done } : {})} />
              <button type="button" onClick={() => void tell("DELETE", `/jobs/${job.id}`)}>
                Stop
              </button>
            </>
          )}
        </div>
      ))}
      <span role="status" className="only-read">
        {jobs.length > 0 ? `${jobs.length} running in the background` : ""}
      </span>
    </aside>
  );
}
