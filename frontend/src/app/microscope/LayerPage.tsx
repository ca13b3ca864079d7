import { useMemo, useState } from "react";
import { Link, useLocation } from "wouter";
import type { LayerView, UnitView } from "../../api";
import { formatCount } from "../../drawing/format";
import { useAbout } from "../about";
import { address, STATIC, useAsk } from "../ask";
import { FindingsAbout } from "../findingLinks";
import { ANALYZE, Compute } from "./Compute";
import { describe } from "./GraphPage";
import { GRIDS, isObjective, OBJECTIVES, unitPath, useSettings } from "./places";
import { arrange, ORDERS, pictureOf } from "./sorting";
import { Tile } from "./Tile";
import { UnitGrid } from "./UnitGrid";
import { useKeys } from "./useKeys";
import { Choice, ViewSettings } from "./ViewSettings";

const AT_ONCE = 16; // Units that are drawn at a click.

/** All units of a layer: a grid of pictures, sorted and filtered. */
export function LayerPage({ layer }: { layer: string }) {
  const { model_id, size: imageSize } = useAbout();
  const path = address("/microscope/layer", { layer });
  const { value: view, error, again } = useAsk<LayerView>(path);
  const [settings, set, query] = useSettings(96);
  const [order, setOrder] = useState("number");
  const [wanted, setWanted] = useState("");
  const [like, setLike] = useState(0);
  const asked = order === "like" && view ? Math.min(like, view.layer.units - 1) : null;
  const { value: liked } = useAsk<UnitView>(
    asked === null || !view?.units.length ? null : address("/microscope/unit", { layer, unit: asked }),
  );
  const [, go] = useLocation();
  useKeys({ Escape: () => go("/m"), "/": () => document.getElementById("find-unit")?.focus() });

  const technique = settings.technique in GRIDS ? settings.technique : "dataset";
  const units = useMemo(
    () => (view ? arrange(view.units, order, wanted, order === "like" ? (liked ?? null) : null) : []),
    [view, order, wanted, liked],
  );
  if (error) return <p role="alert">{error}</p>;
  if (!view || view.layer.name !== layer) return <p role="status">Reading the layer …</p>;
  const missing = units.filter((row) => !pictureOf(view.sheets, technique, row.unit)).map((row) => row.unit);

  return (
    <section className="microscope">
      <nav aria-label="Place" className="crumbs">
        <Link href="/m">Network</Link> <span aria-hidden="true">/</span> <span aria-current="page">{layer}</span>
      </nav>
      <h1>{layer}</h1>
      <p className="quiet">
        {describe(view.layer, imageSize)}
        {view.count > 0 && `; ${formatCount(view.count, "image")}`}
        {view.unreadable > 0 && `, ${view.unreadable} more could not be read`}
      </p>
      {view.units.length === 0 ? (
        <Unseen layer={layer} units={view.layer.units} link={(unit) => unitPath(model_id, layer, unit)} again={again} />
      ) : (
        <>
          <form className="view-settings" onSubmit={(event) => event.preventDefault()} aria-label="How units are shown">
            <ViewSettings settings={{ ...settings, technique }} set={set} techniques={GRIDS} />
            <Choice label="Sort by" value={order} choices={ORDERS} onChange={setOrder} />
            {order === "like" && (
              <label className="field">
                <span>Unit</span>
                <input
                  type="number"
                  min={0}
                  max={view.layer.units - 1}
                  value={like}
                  onChange={(event) => setLike(Math.max(0, Math.floor(Number(event.target.value) || 0)))}
                />
              </label>
            )}
            <label className="field">
              <span>
                Find <kbd>/</kbd>
              </span>
              <input
                id="find-unit"
                type="search"
                placeholder="number, word, dead"
                value={wanted}
                onChange={(event) => setWanted(event.target.value)}
                onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
              />
            </label>
          </form>
          <p role="status" className="quiet">
            {formatCount(units.length, "unit")}
            {units.length < view.units.length ? ` of ${view.units.length}` : ""}
          </p>
          {isObjective(technique) && missing.length > 0 && !STATIC && (
            <Compute
              key={`${technique} ${missing[0]}`}
              text={`Draw the first ${Math.min(AT_ONCE, missing.length)} units without a picture`}
              wanted={{ layer, technique, units: missing.slice(0, AT_ONCE) }}
              cost={(costs) => times(Math.min(AT_ONCE, missing.length), technique === "diversity" ? costs.diversity : costs.picture)}
              onDone={again}
            />
          )}
          {technique === "winners" && !view.sheets.some((sheet) => sheet.technique === "winners") && (
            <p className="quiet">This layer has no positions at which its units could win.</p>
          )}
          <UnitGrid
            units={units}
            order={order}
            size={settings.size}
            href={(unit) => unitPath(model_id, layer, unit) + query}
            tile={(unit) => {
              const found = pictureOf(view.sheets, technique, unit);
              return found && <Tile sheet={found.sheet} number={found.number} view={settings} />;
            }}
          />
          {isObjective(technique) && <p className="quiet">{OBJECTIVES[technique]}: {EXPLAINED[technique]}</p>}
          <FindingsAbout layer={layer} />
          {view.caricatures.length > 0 && (
            <>
              <h2>Caricatures at this layer</h2>
              <ul className="pictures">
                {view.caricatures.map((made) => (
                  <li key={made.sheet.key}>
                    <Tile
                      sheet={made.sheet}
                      number={0}
                      view={{ ...settings, size: Math.max(128, settings.size) }}
                      label={`Caricature of ${made.image}`}
                    />
                    <span className="quiet">{made.image}</span>
                  </li>
                ))}
              </ul>
            </>
          )}
        </>
      )}
    </section>
  );
}

const EXPLAINED = {
  channel: "a picture that excites the unit at all positions.",
  neuron: "a picture that excites the unit at the center.",
  negative: "a picture to which the unit responds least.",
  diversity: "pictures that excite the unit and differ from each other; the first of four is shown.",
};

const times = (count: number, seconds: number | null) => (seconds === null ? null : count * seconds);

interface UnseenProps {
  layer: string;
  units: number;
  link: (unit: number) => string;
  again: () => void;
}

/** A layer that was not analyzed on the images yet. */
function Unseen({ layer, units, link, again }: UnseenProps) {
  const shown = Math.min(units, 12);
  return (
    <>
      <p>This layer has not been analyzed on the images yet.</p>
      <Compute text={ANALYZE} wanted={{ layer, technique: "dataset" }} cost={(costs) => costs.dataset} onDone={again} />
      <p className="quiet">
        Units:{" "}
        {Array.from({ length: shown }, (_, unit) => (
          <span key={unit}>
            <Link href={link(unit)}>{unit}</Link>{" "}
          </span>
        ))}
        {units > shown && `… ${units - 1}`}
      </p>
    </>
  );
}
