import type { FairnessFacts, MitigationFacts } from "../../api";
import { useAbout } from "../about";
import { address, STATIC, useAsk } from "../ask";
import { useJob, useJobs } from "../jobs";
import { Against, useClass } from "./Against";
import { BeforeAfter } from "./BeforeAfter";
import { ALONE, UNLABELLED } from "./Curves";
import type { PartProps } from "./Explore";
import { MeasureBars } from "./MeasureBars";
import { GroupTable } from "./Thresholds";

/** Four steps, as in AI Fairness 360: choose groups, see gaps, mitigate, compare before and after. */
export function Fairness({ images, view, change }: PartProps) {
  const about = useAbout();
  const positive = useClass(images, view);
  const question = { column: view.group, positive, reference: view.reference };
  const { value, error } = useAsk<FairnessFacts>(view.group && about.can_compute && !STATIC ? address("/data/fairness", question) : null);
  const facts = view.group ? value : undefined;
  if (STATIC) return <p>Gaps between groups are computed on request, which this static copy cannot do.</p>;
  if (!about.can_compute) return <p>{ALONE}</p>;
  if (!images.facts.has("class")) return <p>{UNLABELLED}</p>;
  return (
    <ol className="steps">
      <li>
        <h2>Choose groups</h2>
        <Against images={images} view={view} change={change} none="choose …">
          {facts && (
            <label className="field">
              <span>Compare with</span>
              <select value={facts.reference} onChange={(event) => change({ reference: event.target.value })}>
                {facts.groups.map(({ group }) => (
                  <option key={group}>{group}</option>
                ))}
              </select>
            </label>
          )}
        </Against>
        <p className="quiet">Groups are the values of your columns, or ranges of a number. Nothing here guesses who a person is.</p>
      </li>
      {view.group && (
        <li>
          <h2>See the gaps</h2>
          {error && <p role="alert">{error}</p>}
          {facts && !error && <Gaps facts={facts} name={images.classes[positive]!} />}
        </li>
      )}
      {facts && !error && facts.comparisons.length > 0 && <Mitigation question={question} facts={facts} />}
    </ol>
  );
}

function Gaps({ facts, name }: { facts: FairnessFacts; name: string }) {
  return (
    <>
      <GroupTable groups={facts.groups} />
      {facts.notes.map((note) => (
        <p key={note} className="quiet">
          {note}
        </p>
      ))}
      {facts.comparisons.length === 0 ? (
        <p>No two groups have enough labelled images to be compared.</p>
      ) : (
        <>
          <p>
            Differences between each group and {facts.reference} in predicting {name} (disparate impact: their ratio). Shaded: what
            AI Fairness 360 calls fair.
          </p>
          <div className="two">
            {facts.comparisons.map(({ group, measures }) => (
              <MeasureBars key={group} title={`${group}, compared with ${facts.reference}`} measures={measures} />
            ))}
            <MeasureBars title="All groups together" measures={[facts.theil]} />
          </div>
          <p className="quiet">
            A gap shows that predictions differ between groups, not why. Where the class is more frequent in some groups, not all
            measures can be fair at once.
          </p>
        </>
      )}
    </>
  );
}

type Question = { column: string; positive: number; reference: string };

function Mitigation({ question, facts }: { question: Question; facts: FairnessFacts }) {
  const about = useAbout();
  const { jobs } = useJobs();
  const { problem, start } = useJob();
  const { value: tried, again } = useAsk<MitigationFacts>(address("/data/mitigation", question));
  const running = jobs.some((job) => job.title === `Mitigation by ${question.column}` && job.state !== "failed");
  const { column, positive } = question;
  return (
    <>
      <li>
        <h2>Mitigate</h2>
        <p>
          Retrain the last layer on reweighed and on balanced images, and choose thresholds by group. Layers and thresholds are
          fitted on one half of the labelled images and measured on the other. The model itself stays as it is.
        </p>
        {about.can_compute && (
          <button type="button" className="main-button" disabled={running} onClick={() => start("/data/mitigation", { column, positive }, again)}>
            {running ? "Trying …" : "Try all mitigations"}
          </button>
        )}
        {problem && <p role="alert">{problem}</p>}
      </li>
      {tried?.ready && (
        <li aria-live="polite">
          <h2>Compare before and after</h2>
          <BeforeAfter facts={tried} reference={facts.reference} />
        </li>
      )}
    </>
  );
}
