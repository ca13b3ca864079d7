import type { Guide } from "./audit";
import { needsAttention, type Entry } from "./data";
import { Disclosure, useDetails } from "./Disclosure";
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

/** A finding: one line that opens. What needs attention is open from the start; the rest is rendered too, for print. */
export function FindingCard({ entry, guide, seconds, printing }: Props) {
  const { id, finding } = entry;
  const details = useDetails(needsAttention(entry), printing);
  return (
    <article id={id} className="finding" aria-labelledby={`${id}--claim`} tabIndex={-1}>
      <details {...details}>
        <summary>
          <VerdictBadge verdict={finding.verdict} />
          <span className="check-name">
            <CheckName name={finding.check} />
          </span>
          {guide && <span className="question">{guide.question}</span>}
          <h3 id={`${id}--claim`}>{finding.claim}</h3>
        </summary>
        <div className="finding-body">
          {finding.criterion && (
            <p className="criterion">
              <span className="quiet">Criterion:</span> {finding.criterion}
            </p>
          )}
          <EvidenceList finding={finding} printing={printing} />
          {guide && <AboutCheck guide={guide} printing={printing} />}
          <p className="duration">
            {typeof seconds === "number" && `Measured in ${formatNumber(seconds)}\u202fs. `}
            <a href={`#${encodeURIComponent(id)}`}>
              Link to {id}
            </a>
          </p>
        </div>
      </details>
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
