import type { Estimate, Finding } from "../audit";
import { Caveats } from "./Caveats";
import { CurveView } from "./CurveView";
import { EstimatesView } from "./EstimatesView";
import { HeatmapsView } from "./HeatmapsView";
import { ImageGridView, isShortStrip } from "./ImageGridView";
import { TableView } from "./TableView";
import { WorldMapView } from "./WorldMapView";

type Evidence = Finding["evidence"][number];
type Item = Estimate[] | Exclude<Evidence, Estimate>;

/** The part of a finding that is shown here; a stop of the tour has the same. */
type Evident = Pick<Finding, "evidence" | "caveats">;

/** The evidence of a finding and its limitations. On a wide screen two small items stand side by side. */
export function EvidenceList({ finding, printing }: { finding: Evident; printing: boolean }) {
  const items = groupEstimates(finding.evidence);
  return (
    <div className="evidence-list">
      {items.map((item, i) => (
        <div key={i} className={isSmall(item) ? "half" : ""}>
          <EvidenceView evidence={item} printing={printing} />
        </div>
      ))}
      {finding.caveats.length > 0 && (
        <div className={hasGap(items) ? "half" : ""}>
          <Caveats caveats={finding.caveats} />
        </div>
      )}
    </div>
  );
}

/** Whether a small item is alone in its row. */
function hasGap(items: readonly Item[]): boolean {
  const runs = items.map((item) => (isSmall(item) ? "s" : " ")).join("").split(" ");
  return runs.some((run) => run.length % 2 === 1);
}

/** Whether half of a wide screen is enough for it. */
function isSmall(item: Item): boolean {
  if (Array.isArray(item)) return false;
  if (item.kind === "image_grid") return isShortStrip(item);
  if (item.kind === "heatmaps") return item.items.length === 1 && (item.items[0]!.values[0]?.length ?? 0) <= 10;
  return item.kind === "curve";
}

/** Each kind has one renderer; a kind without a renderer fails the build. */
function EvidenceView({ evidence, printing }: { evidence: Item; printing: boolean }) {
  if (Array.isArray(evidence)) return <EstimatesView estimates={evidence} />;
  switch (evidence.kind) {
    case "table":
      return <TableView table={evidence} printing={printing} />;
    case "curve":
      return <CurveView curve={evidence} printing={printing} />;
    case "image_grid":
      return <ImageGridView grid={evidence} />;
    case "heatmaps":
      return <HeatmapsView group={evidence} printing={printing} />;
    case "world_map":
      return <WorldMapView map={evidence} printing={printing} />;
  }
}

/** Consecutive estimates with the same unit share an axis, so that their intervals can be compared. */
function groupEstimates(evidence: readonly Evidence[]): Item[] {
  const groups: Item[] = [];
  for (const item of evidence) {
    const last = groups.at(-1);
    if (item.kind !== "estimate") groups.push(item);
    else if (Array.isArray(last) && last[0]?.unit === item.unit) last.push(item);
    else groups.push([item]);
  }
  return groups;
}
