import type { Estimate, Finding } from "../audit";
import { CurveView } from "./CurveView";
import { EstimatesView } from "./EstimatesView";
import { HeatmapsView } from "./HeatmapsView";
import { ImageGridView } from "./ImageGridView";
import { TableView } from "./TableView";
import { WorldMapView } from "./WorldMapView";

type Evidence = Finding["evidence"][number];

/** The evidence of a finding. Each kind has one renderer; a kind without a renderer fails the build. */
export function EvidenceList({ evidence, printing }: { evidence: readonly Evidence[]; printing: boolean }) {
  return groupEstimates(evidence).map((item, i) =>
    Array.isArray(item) ? (
      <EstimatesView key={i} estimates={item} />
    ) : (
      <EvidenceView key={i} evidence={item} printing={printing} />
    ),
  );
}

function EvidenceView({ evidence, printing }: { evidence: Exclude<Evidence, Estimate>; printing: boolean }) {
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
function groupEstimates(evidence: readonly Evidence[]): (Estimate[] | Exclude<Evidence, Estimate>)[] {
  const groups: (Estimate[] | Exclude<Evidence, Estimate>)[] = [];
  for (const item of evidence) {
    const last = groups.at(-1);
    if (item.kind !== "estimate") groups.push(item);
    else if (Array.isArray(last) && last[0]?.unit === item.unit) last.push(item);
    else groups.push([item]);
  }
  return groups;
}
