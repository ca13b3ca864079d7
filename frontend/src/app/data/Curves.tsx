import type { ClassCurves, CurveArea } from "../../api";
import type { Table } from "../../audit";
import { CurveView } from "../../evidence/CurveView";
import { TableView } from "../../evidence/TableView";
import { useAbout } from "../about";
import { address, STATIC, useAsk } from "../ask";
import { Against, useClass } from "./Against";
import type { PartProps } from "./Explore";
import { Thresholds } from "./Thresholds";

export const UNLABELLED = "The images have no labels of the model's classes, so there is nothing to compare predictions with.";

export const ALONE = "This needs the model: the run folder alone does not hold the probabilities of all classes.";

/** How well the probability of a class detects it, and what thresholds on it do. */
export function Curves({ images, view, change }: PartProps) {
  const positive = useClass(images, view);
  const about = useAbout();
  const can = about.can_compute || STATIC;
  const path = can && images.facts.has("class") ? address("/data/curves", { column: STATIC ? "" : view.group, positive }) : null;
  const { value: curves, error } = useAsk<ClassCurves>(path);
  if (!can) return <p>{ALONE}</p>;
  if (path === null) return <p>{UNLABELLED}</p>;
  return (
    <>
      <Against images={images} view={view} change={change} none="all images together" />
      <p className="quiet">Over all labelled images; filters do not apply.</p>
      {error && <p role="alert">{error}</p>}
      {curves && (
        <>
          <div className="two">
            <CurveView curve={curves.roc} printing={false} />
            <CurveView curve={curves.precision_recall} printing={false} />
          </div>
          <TableView table={areaTable(curves.areas)} printing={false} />
        </>
      )}
      {!STATIC && !error && <Thresholds key={`${positive} ${view.group}`} positive={positive} group={view.group} />}
    </>
  );
}

function areaTable(areas: readonly CurveArea[]): Table {
  const columns: [string, Table["columns"][number]["kind"]][] = [
    ["images", "text"],
    ["number", "number"],
    ["of the class", "number"],
    ["area under ROC", "share"],
    ["95% CI", "interval"],
    ["average precision", "share"],
    ["95% CI", "interval"],
  ];
  return {
    kind: "table",
    title: "Areas under both curves (chance level: 50% for ROC, the share of the class for average precision)",
    columns: columns.map(([name, kind]) => ({ name, kind })),
    rows: areas.map(({ group, images, positives, roc, average_precision: precision }) => [
      group,
      images,
      positives,
      roc.value,
      [roc.low, roc.high],
      precision.value,
      [precision.low, precision.high],
    ]),
  };
}
