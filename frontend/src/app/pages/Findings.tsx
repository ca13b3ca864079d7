import { useEffect, useMemo, useState } from "react";
import { App as Report } from "../../App";
import type { Audit } from "../../audit";
import { LinksContext } from "../../links";
import { useAbout } from "../about";
import { STATIC, tell, useAsk } from "../ask";
import { linksFor } from "../findingLinks";
import { useJobs } from "../jobs";

const AUDIT = "Audit";
const EVERY = 2000; // Milliseconds between two looks at an audit that runs.

/** The report, live. */
export function Findings() {
  const about = useAbout();
  const { value: audit, again } = useAsk<Audit | null>("/audit");
  const { jobs, follow } = useJobs();
  const links = useMemo(() => linksFor(about.model_id), [about.model_id]);
  const [error, setError] = useState("");
  const running = jobs.some((job) => job.title === AUDIT && job.state !== "failed");
  useEffect(() => {
    if (!running) return again(); // Also when it has just ended.
    const timer = setInterval(again, EVERY);
    return () => clearInterval(timer);
  }, [running, again]);
  const start = () => tell<number>("POST", "/audit").then(follow, (problem: Error) => setError(problem.message));
  if (audit) {
    return (
      <LinksContext value={links}>
        <Report audit={audit} within />
      </LinksContext>
    );
  }
  return (
    <section>
      <h1>Is {about.model} right for the right reasons?</h1>
      <p>Nothing was audited yet.</p>
      {about.can_compute && !STATIC && !running && (
        <button type="button" className="main-button" onClick={() => void start()}>
          Audit it (about ten minutes)
        </button>
      )}
      {error && <p role="alert">{error}</p>}
    </section>
  );
}
