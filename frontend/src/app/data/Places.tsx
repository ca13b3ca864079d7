import type { Audit } from "../../audit";
import { EvidenceList } from "../../evidence/EvidenceList";
import { useAbout } from "../about";
import { STATIC, useAsk } from "../ask";
import { useJob } from "../jobs";

const CHECK = "data.geography";

/** Where the images are from, as the audit found it. */
export function Places() {
  const about = useAbout();
  const { running, problem, start } = useJob();
  const { value: audit, again } = useAsk<Audit | null>("/audit");
  const finding = audit?.findings.find(({ check }) => check === CHECK);
  return (
    <section aria-labelledby="places">
      <h2 id="places">Where the images are from</h2>
      {finding ? (
        <>
          <p>{finding.claim}</p>
          <EvidenceList finding={finding} printing={false} />
        </>
      ) : (
        <>
          <p>
            A column <code>country</code>, columns <code>lat</code> and <code>lon</code>, or GPS positions in the files say where an
            image is from. The map compares the countries with where the world's internet users live.
          </p>
          {about.can_compute && !STATIC && (
            <button
              type="button"
              className="main-button"
              disabled={running}
              onClick={() => start(`/audit?checks=${CHECK}`, undefined, again)}
            >
              {running ? "Finding the countries …" : "Find the countries"}
            </button>
          )}
        </>
      )}
      {problem && <p role="alert">{problem}</p>}
    </section>
  );
}
