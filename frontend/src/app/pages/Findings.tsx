import { useEffect, useMemo } from "react";
import { App as Report } from "../../App";
import type { Audit } from "../../audit";
import { LinksContext } from "../../links";
import { useAbout } from "../about";
import { STATIC, useAsk } from "../ask";
import { linksFor } from "../findingLinks";
import { useJob, useJobs } from "../jobs";

const AUDIT = "Audit";
const EVERY = 2000; // Milliseconds between two requests for the audit while it runs.

/** The report, live. */
export function Findings() {
  const about = useAbout();
  const { value: audit, error, again } = useAsk<Audit | null>("/audit");
  const { jobs } = useJobs();
  const { problem, start } = useJob();
  const links = useMemo(() => linksFor(about.model_id), [about.model_id]);
  const running = jobs.some((job) => job.title === AUDIT && job.state !== "failed");
  useEffect(() => {
    if (!running) return again(); // Also when it has just ended.
    const timer = setInterval(again, EVERY);
    return () => clearInterval(timer);
  }, [running, again]);
  if (error) return <p role="alert">{error}</p>;
  if (audit === undefined) return null; // Not answered yet; null where there is no audit.
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
      <p>This model has not been audited yet.</p>
      {about.can_compute && !STATIC && !running && (
        <button type="button" className="main-button" onClick={() => start("/audit")}>
          Audit it (about ten minutes)
        </button>
      )}
      {problem && <p role="alert">{problem}</p>}
    </section>
  );
}
