import type { Audit } from "./audit";
import { Facts } from "./Facts";
import { formatCount, formatDate, formatDuration } from "./drawing/format";

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
      <div className="summary">
        {audit.summary.map((line, i) => (
          <p key={i}>{line}</p>
        ))}
      </div>
      {audit.status !== "complete" && (
        <p className="notice">
          {audit.status === "running"
            ? "This audit is still running. The findings so far are listed below."
            : "This audit was interrupted; the same command resumes it. The findings so far are listed below."}
        </p>
      )}
      <Facts facts={facts} />
    </header>
  );
}

function labels({ images }: Audit): string {
  const classes = formatCount(images.classes, "class", "classes");
  const labelled =
    images.labelled === 0
      ? "none labelled"
      : images.labelled === images.count
        ? `all labelled in ${classes}`
        : `${formatCount(images.labelled, "labelled", "labelled")} in ${classes}`;
  return images.unreadable.length > 0 ? `${labelled}, ${images.unreadable.length} unreadable` : labelled;
}
