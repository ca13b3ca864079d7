import { useEffect, useMemo } from "react";
import { Appendix } from "./Appendix";
import type { Audit } from "./audit";
import { apart, COMMON_NOTE, COMMON_TITLE, entriesOf, type Entry } from "./data";
import { FindingCard } from "./FindingCard";
import { Header } from "./Header";
import { usePrinting } from "./hooks";
import { Overview } from "./Overview";
import { goTo, useView, type View } from "./view";

function isShown(entry: Entry, { verdicts, families }: View): boolean {
  return (
    (verdicts.length === 0 || verdicts.includes(entry.finding.verdict)) &&
    (families.length === 0 || families.includes(entry.family))
  );
}

/** The report. Inside of another page (`within`) that page has the landmarks. */
export function App({ audit, within = false }: { audit: Audit; within?: boolean }) {
  const Main = within ? "div" : "main";
  const entries = useMemo(() => entriesOf(audit), [audit]);
  const printing = usePrinting();
  const [view, setView] = useView();
  // A linked finding is shown even if the filters exclude it; a printed page shows all findings.
  const shown = entries.filter((entry) => printing || entry.id === view.finding || isShown(entry, view));
  const { own, common } = apart(shown);
  const card = (entry: Entry) => (
    <FindingCard
      key={entry.id}
      entry={entry}
      guide={audit.guides[entry.finding.check]}
      seconds={audit.durations[entry.finding.check]}
      printing={printing}
    />
  );

  useEffect(() => {
    if (view.finding) goTo(view.finding);
  }, [view.finding]);

  return (
    <>
      {!within && (
        <a className="skip" href="#findings" onClick={(event) => (event.preventDefault(), goTo("findings"))}>
          Skip to findings
        </a>
      )}
      <Header audit={audit} />
      <Main>
        <Overview entries={entries} shown={shown} guides={audit.guides} view={view} onChange={setView} />
        <section id="findings" aria-labelledby="findings-title" tabIndex={-1}>
          <h2 id="findings-title">Findings</h2>
          {own.map(card)}
          {shown.length === 0 && <p className="quiet">No findings to show.</p>}
        </section>
        {common.length > 0 && (
          <section id="common" aria-labelledby="common-title" tabIndex={-1}>
            <h2 id="common-title">{COMMON_TITLE}</h2>
            <p className="common-note">{COMMON_NOTE}</p>
            {common.map(card)}
          </section>
        )}
        <Appendix audit={audit} printing={printing} />
      </Main>
    </>
  );
}
