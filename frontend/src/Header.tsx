import type { Audit, Verdict } from "./audit";
import { countBy } from "./data";
import { formatCount, formatDate, formatDuration } from "./drawing/format";

const PHRASES: readonly [Verdict, (count: number) => string][] = [
  ["fail", (count) => `${formatCount(count, "problem")} found`],
  ["warn", (count) => formatCount(count, "warning")],
  ["inconclusive", (count) => `${count} inconclusive`],
  ["pass", (count) => `${count} passed`],
  ["error", (count) => `${formatCount(count, "check")} crashed`],
  ["skipped", (count) => `${count} skipped`],
];

/** The number of findings of each verdict in one sentence. It makes no claim beyond the checks that ran. */
function summarize(audit: Audit): string {
  const common = audit.findings.filter((finding) => finding.common).length;
  const counts = countBy(audit.findings.filter((finding) => !finding.common), (finding) => finding.verdict);
  const parts = PHRASES.filter(([verdict]) => counts.has(verdict)).map(([verdict, phrase]) => phrase(counts.get(verdict)!));
  if (common > 0) parts.push(`and ${formatCount(common, "problem")} of nearly every network`);
  if (parts.length === 0) return "No checks have run yet.";
  const problems = counts.has("fail") ? [] : ["No problem found by these checks"];
  return `${[...problems, ...parts].join(", ")}.`;
}

export function Header({ audit }: { audit: Audit }) {
  const { model, images } = audit;
  const facts: [string, string][] = [
    ["Model", `${model.source}, ${formatCount(model.classes, "class", "classes")}, ${formatCount(model.parameters, "parameter")}`],
    ["Input", model.input],
    ["Images", `${images.name}: ${formatCount(images.count, "image")}, ${labels(audit)}`],
    ["Audited", `${formatDate(audit.created)}, in ${formatDuration(audit.seconds)}, seed ${audit.seed}`],
  ];
  return (
    <header className="masthead">
      <p className="wordmark">deeptroubles</p>
      <h1>
        Is <span className="model-name">{model.name}</span> right for the right reasons?
      </h1>
      <p className="summary">{summarize(audit)}</p>
      {audit.status === "running" && (
        <p className="notice">This audit is still running. The findings so far are listed below.</p>
      )}
      <dl className="facts">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </header>
  );
}

function labels({ images }: Audit): string {
  const labeled =
    images.labelled === 0
      ? "none labeled"
      : images.labelled === images.count
        ? `all labeled in ${formatCount(images.classes, "class", "classes")}`
        : `${formatCount(images.labelled, "labeled", "labeled")} in ${formatCount(images.classes, "class", "classes")}`;
  return images.unreadable.length > 0 ? `${labeled}, ${images.unreadable.length} unreadable` : labeled;
}
