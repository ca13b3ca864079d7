import type { Guide } from "./audit";
import type { Entry } from "./data";
import { Disclosure } from "./Disclosure";
import { formatNumber, type Maybe } from "./drawing/format";
import { EvidenceList } from "./evidence/EvidenceList";
import { Prose } from "./Prose";
import { VerdictBadge } from "./VerdictBadge";

interface Props {
  entry: Entry;
  guide: Guide | undefined;
  seconds: Maybe | undefined;
  printing: boolean;
}

export function FindingCard({ entry: { id, finding }, guide, seconds, printing }: Props) {
  return (
    <article id={id} className={`finding finding-${finding.verdict}`} aria-labelledby={`${id}--claim`} tabIndex={-1}>
      <div className="finding-margin">
        <VerdictBadge verdict={finding.verdict} />
        <p className="check-name">
          <a href={`#${encodeURIComponent(id)}`} aria-label={`Link to ${id}`}>
            <CheckName name={finding.check} />
          </a>
        </p>
        {typeof seconds === "number" && <p className="duration">{formatNumber(seconds)}{"\u202f"}s</p>}
      </div>
      <div className="finding-body">
        {guide && <p className="question">{guide.question}</p>}
        <h3 id={`${id}--claim`}>{finding.claim}</h3>
        {finding.criterion && (
          <p className="criterion">
            <span className="label">Criterion:</span> {finding.criterion}
          </p>
        )}
        <EvidenceList evidence={finding.evidence} printing={printing} />
        {finding.caveats.length > 0 && (
          <div className="caveats">
            <h4>Limitations of this finding</h4>
            <ul>
              {finding.caveats.map((caveat, i) => (
                <li key={i}>{caveat}</li>
              ))}
            </ul>
          </div>
        )}
        {guide && <AboutCheck guide={guide} printing={printing} />}
      </div>
    </article>
  );
}

/** The name of a check. Lines may break after its dots and underscores. */
function CheckName({ name }: { name: string }) {
  return name.split(/(?<=[._])/).map((part, i) => [i > 0 && <wbr key={i} />, part]);
}

function AboutCheck({ guide, printing }: { guide: Guide; printing: boolean }) {
  const sections: [string, string][] = [
    ["What it asks", guide.asks],
    ["Why it matters", guide.matters],
    ["How to read it", guide.reading],
    ["Limitations", guide.limits],
    ["References", guide.references],
  ];
  return (
    <Disclosure summary="About this check" className="guide" forceOpen={printing}>
      <dl>
        {sections
          .filter(([, text]) => text.trim())
          .map(([name, text]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>
                <Prose text={text} />
              </dd>
            </div>
          ))}
      </dl>
    </Disclosure>
  );
}
