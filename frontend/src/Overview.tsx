import type { ReactNode } from "react";
import type { Audit } from "./audit";
import { apart, COMMON_TITLE, countBy, needsAttention, VERDICT_WORDS, VERDICTS, type Entry } from "./data";
import { formatCount } from "./drawing/format";
import { VerdictBadge, VerdictIcon } from "./VerdictBadge";
import { goTo, writeView, type View } from "./view";

interface Props {
  entries: Entry[];
  shown: Entry[];
  guides: Audit["guides"];
  view: View;
  onChange: (view: View) => void;
}

/** What needs attention, one line each, with the filters of all findings above. */
export function Overview({ entries, shown, guides, view, onChange }: Props) {
  const { own, common } = apart(shown);
  const listed = own.filter(needsAttention);
  return (
    <section aria-labelledby="overview-title" className="overview">
      <h2 id="overview-title">Overview</h2>
      <Filters entries={entries} shown={shown} view={view} onChange={onChange} />
      <Lines entries={listed} guides={guides} view={view} />
      {shown.length > 0 && listed.length === 0 && <p className="quiet">None of these findings needs attention.</p>}
      {common.length > 0 && (
        <>
          <h3 className="overview-apart">{COMMON_TITLE}</h3>
          <Lines entries={common} guides={guides} view={view} />
        </>
      )}
    </section>
  );
}

function Lines({ entries, guides, view }: Pick<Props, "entries" | "guides" | "view">) {
  return (
    <ol className="overview-list">
      {entries.map(({ id, finding }) => (
        <li key={id}>
          <a
            href={writeView({ ...view, finding: id })}
            // A second click does not change the URL, so no hash change scrolls to the finding.
            onClick={() => id === view.finding && goTo(id)}
          >
            <VerdictBadge verdict={finding.verdict} />
            <span className="overview-claim">{finding.claim}</span>
            <span className="overview-check" title={guides[finding.check]?.question}>
              {finding.check}
            </span>
          </a>
        </li>
      ))}
    </ol>
  );
}

function Filters({ entries, shown, view, onChange }: Omit<Props, "guides">) {
  const verdicts = countBy(entries, (entry) => entry.finding.verdict);
  const families = countBy(entries, (entry) => entry.family);
  const filtered = view.verdicts.length + view.families.length > 0;
  // Changing a filter drops the linked finding, which would otherwise stay in the list under every filter.
  const change = (part: Partial<View>) => onChange({ ...view, ...part, finding: "" });
  return (
    <div className="filters" role="group" aria-label="Filter findings">
      <div className="filter-row" role="group" aria-label="By verdict">
        {VERDICTS.filter((verdict) => verdicts.has(verdict)).map((verdict) => (
          <Toggle
            key={verdict}
            pressed={view.verdicts.includes(verdict)}
            count={verdicts.get(verdict)!}
            onToggle={() => change({ verdicts: toggled(view.verdicts, verdict) })}
          >
            <VerdictIcon verdict={verdict} /> {VERDICT_WORDS[verdict]}
          </Toggle>
        ))}
      </div>
      <div className="filter-row" role="group" aria-label="By family">
        {[...families].sort().map(([family, count]) => (
          <Toggle
            key={family}
            pressed={view.families.includes(family)}
            count={count}
            onToggle={() => change({ families: toggled(view.families, family) })}
          >
            {family}
          </Toggle>
        ))}
      </div>
      <p className="filter-state">
        <span role="status">
          {filtered ? `Showing ${shown.length} of ${entries.length} findings.` : `${formatCount(entries.length, "finding")}, worst first.`}
        </span>
        {filtered && (
          <button type="button" className="link" onClick={() => change({ verdicts: [], families: [] })}>
            Show all
          </button>
        )}
      </p>
    </div>
  );
}

interface ToggleProps {
  pressed: boolean;
  count: number;
  onToggle: () => void;
  children: ReactNode;
}

function Toggle({ pressed, count, onToggle, children }: ToggleProps) {
  return (
    <button type="button" className="toggle" aria-pressed={pressed} onClick={onToggle}>
      {children} <span className="count">{count}</span>
    </button>
  );
}

function toggled<T>(selected: readonly T[], item: T): T[] {
  return selected.includes(item) ? selected.filter((other) => other !== item) : [...selected, item];
}
