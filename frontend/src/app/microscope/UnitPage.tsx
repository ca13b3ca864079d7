import { useEffect, useState } from "react";
import { Link, useLocation } from "wouter";
import type { LayerView, UnitView } from "../../api";
import { useAbout } from "../about";
import { address, STATIC, useAsk } from "../ask";
import { FeatureMaps } from "./FeatureMaps";
import { LensView } from "./LensView";
import { layerPath, LENSES, type Lens, lensOf, unitPath, useSettings } from "./places";
import { UnitFacts } from "./UnitFacts";
import { useKeys } from "./useKeys";
import { ViewSettings } from "./ViewSettings";

/** Everything about one unit: five lenses, and the facts beside them. */
export function UnitPage({ layer, unit }: { layer: string; unit: number }) {
  const { model_id } = useAbout();
  const { value: view, error, again } = useAsk<UnitView>(address("/microscope/unit", { layer, unit }));
  const { value: whole, again: wholeAgain } = useAsk<LayerView>(address("/microscope/layer", { layer }));
  const [settings, set, query] = useSettings(128);
  const [row, setRow] = useState<number | null>(null);
  const [, go] = useLocation();
  const last = (whole?.layer.units ?? 1) - 1;
  const step = (by: number) => {
    const next = unit + by;
    if (whole && next >= 0 && next <= last) go(unitPath(model_id, layer, next) + query);
  };
  useKeys({
    j: () => step(1),
    k: () => step(-1),
    ArrowRight: () => step(1),
    ArrowLeft: () => step(-1),
    Escape: () => go(layerPath(model_id, layer) + query),
    "/": () => go(layerPath(model_id, layer) + query),
  });
  useEffect(() => setRow(null), [layer, unit]);
  if (error) return <p role="alert">{error}</p>;
  if (!view || !whole) return <p role="status">Reading the unit …</p>;
  const lens = lensOf(settings.technique);
  const chosen = row ?? view.top[0]?.row ?? 0;
  const refresh = () => {
    again();
    wholeAgain();
  };
  return (
    <section className="microscope">
      <nav aria-label="Place" className="crumbs">
        <Link href="/m">Network</Link> <span aria-hidden="true">/</span>{" "}
        <Link href={layerPath(model_id, layer) + query}>{layer}</Link> <span aria-hidden="true">/</span>{" "}
        <span aria-current="page">{unit}</span>
      </nav>
      <div className="unit-head">
        <h1>
          Unit {view.facts?.name ?? unit} <span className="quiet">of {layer}</span>
        </h1>
        <div className="unit-steps">
          <button type="button" className="plain" disabled={unit === 0} onClick={() => step(-1)}>
            Previous <kbd>K</kbd>
          </button>
          <button type="button" className="plain" disabled={unit >= last} onClick={() => step(1)}>
            Next <kbd>J</kbd>
          </button>
        </div>
      </div>
      <div className="unit-columns">
        <div>
          <Tabs lens={lens} onChange={(next) => set("technique", next)} />
          <form className="view-settings" onSubmit={(event) => event.preventDefault()} aria-label="How pictures are shown">
            <ViewSettings settings={settings} set={set} />
          </form>
          <div role="tabpanel" id="lens" aria-labelledby={`lens-${lens}`} tabIndex={-1}>
            <LensView
              layer={layer}
              view={view}
              textPossible={whole.text_possible}
              settings={settings}
              set={set}
              row={chosen}
              onRow={setRow}
              again={refresh}
            />
          </div>
          {!STATIC && whole.layer.grid && whole.layer.grid[0] * whole.layer.grid[1] > 1 && (
            <FeatureMaps layer={layer} unit={unit} row={chosen} onRow={setRow} pixels={settings.pixels} />
          )}
        </div>
        <UnitFacts layer={layer} view={view} whole={whole} query={query} settings={settings} again={refresh} />
      </div>
    </section>
  );
}

/** The lenses as tabs; arrows move between them. */
function Tabs({ lens, onChange }: { lens: Lens; onChange: (lens: Lens) => void }) {
  const names = Object.keys(LENSES) as Lens[];
  return (
    <div
      role="tablist"
      aria-label="Technique"
      className="tabs"
      onKeyDown={(event) => {
        const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!by) return;
        event.preventDefault();
        event.stopPropagation();
        const next = names[(names.indexOf(lens) + by + names.length) % names.length]!;
        onChange(next);
        document.getElementById(`lens-${next}`)?.focus();
      }}
    >
      {names.map((name) => (
        <button
          key={name}
          id={`lens-${name}`}
          type="button"
          role="tab"
          aria-selected={name === lens}
          aria-controls="lens"
          tabIndex={name === lens ? 0 : -1}
          onClick={() => onChange(name)}
        >
          {LENSES[name]}
        </button>
      ))}
    </div>
  );
}
