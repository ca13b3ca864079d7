import { useState } from "react";
import type { FairnessMeasure, MitigationFacts, Share } from "../../api";
import type { Audit } from "../../audit";
import { Disclosure } from "../../Disclosure";
import { EvidenceList } from "../../evidence/EvidenceList";
import { domainOf, MeasureBar } from "./MeasureBars";
import { shareText } from "./Thresholds";

const points = (value: number | null) => (value === null ? "–" : (100 * value).toFixed(1).replace("-", "−"));

const lost = ({ value, low, high }: Share) => `${points(value)} (${points(low)} to ${points(high)})`;

/** What each mitigation does to one measure and to accuracy, on images that it was not fitted on. */
export function BeforeAfter({ facts, reference }: { facts: MitigationFacts; reference: string }) {
  const groups = facts.variants[0]?.facts.comparisons.map(({ group }) => group) ?? [];
  const names = [...(facts.variants[0]?.facts.comparisons[0]?.measures.map(({ name }) => name) ?? []), "Theil index"];
  const [group, setGroup] = useState(groups[0] ?? "");
  const [name, setName] = useState(names[0]!);
  const measures = facts.variants.map((variant) => {
    const of = variant.facts.comparisons.find((each) => each.group === group);
    const measure = name === "Theil index" ? variant.facts.theil : of?.measures.find((each) => each.name === name);
    return [variant.name, measure] as const;
  });
  const domain = domainOf(measures.map(([, measure]) => measure).filter((measure): measure is FairnessMeasure => measure !== undefined));
  const audit = facts.audit as Audit;
  return (
    <>
      <div className="controls">
        <label className="field">
          <span>Measure</span>
          <select value={name} onChange={(event) => setName(event.target.value)}>
            {names.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
        {name !== "Theil index" && (
          <label className="field">
            <span>Group, compared with {reference}</span>
            <select value={group} onChange={(event) => setGroup(event.target.value)}>
              {groups.map((each) => (
                <option key={each}>{each}</option>
              ))}
            </select>
          </label>
        )}
      </div>
      <div className="two">
        <figure className="measures">
          <figcaption>{name}, on the held-out half</figcaption>
          {measures.map(([variant, measure]) => measure && <MeasureBar key={variant} measure={measure} label={words(variant)} domain={domain} />)}
        </figure>
        <div className="scroll" role="region" aria-label="What it costs" tabIndex={0}>
          <table className="data">
            <caption className="quiet">Accuracy on the class against the rest, and what it costs</caption>
            <thead>
              <tr>
                <th scope="col">variant</th>
                <th scope="col">accuracy</th>
                <th scope="col">lost, in points (95% CI)</th>
              </tr>
            </thead>
            <tbody>
              {facts.variants.map((variant) => (
                <tr key={variant.name}>
                  <th scope="row">{words(variant.name)}</th>
                  <td>{shareText(variant.facts.accuracy)}</td>
                  <td>{variant.name === "unchanged" ? "–" : lost(variant.accuracy_cost)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </div>
      <p className="quiet">
        “Refitted” is a last layer retrained without a mitigation. A negative loss is a gain. Trying many mitigations and keeping the
        best one makes its numbers look better than they are.
      </p>
      {audit.findings.map((finding) => (
        <Disclosure key={finding.check} summary={`${finding.check}: ${finding.claim}`}>
          <EvidenceList finding={finding} printing={false} />
        </Disclosure>
      ))}
    </>
  );
}

const MEANING: Record<string, string> = {
  unchanged: "before: the model itself",
  refitted: "refitted (control)",
  reweighed: "last layer, reweighed images",
  balanced: "last layer, balanced images",
};

const words = (variant: string) => MEANING[variant] ?? `thresholds: ${variant}`;
