import type { ReactNode } from "react";
import { Link } from "wouter";
import type { LayerView, Reading, UnitView } from "../../api";
import { formatCount, formatNumber, formatShare } from "../../drawing/format";
import { useAbout } from "../about";
import { ANALYZE, Compute } from "./Compute";
import { Histogram } from "./Histogram";
import { type Settings, unitPath } from "./places";
import { flags, pictureOf } from "./sorting";
import { Tile } from "./Tile";

const WORDS = 5;
const SIMILAR = 8;
const SMALL = 56;

interface Props {
  layer: string;
  view: UnitView;
  whole: LayerView;
  query: string;
  settings: Settings;
  again: () => void;
}

/** What is known about a unit, beside its pictures. */
export function UnitFacts({ layer, view, whole, query, settings, again }: Props) {
  const { model_id } = useAbout();
  const facts = view.facts;
  if (!facts) {
    return (
      <aside className="unit-facts" aria-label="Facts">
        <p>This layer has not been analyzed on the images yet.</p>
        <Compute text={ANALYZE} wanted={{ layer, technique: "dataset" }} cost={(costs) => costs.dataset} onDone={again} />
      </aside>
    );
  }
  const small = { ...settings, size: SMALL };
  return (
    <aside className="unit-facts" aria-label="Facts">
      {flags(facts).length > 0 && <p className="notice">{flagged(facts.dead, facts.duplicate_of)}</p>}
      <Part title="Activation">
        <Histogram counts={view.histogram} low={facts.low} high={facts.high} />
        <p className="quiet">
          Its maximum over positions, for {formatCount(whole.count, "image")}. Mean {formatNumber(facts.mean)}; above 0 on {formatShare(facts.active)} of
          the images and at {formatShare(facts.sparsity === null ? null : 1 - facts.sparsity)} of the positions. Lifetime sparsity{" "}
          {formatNumber(facts.lifetime_sparsity)}.
        </p>
      </Part>
      {view.winners && facts.wins === 0 && (
        <Part title="Where it wins most often">
          <p className="quiet">Nowhere: at every position of every image another unit of the layer is more active.</p>
        </Part>
      )}
      {view.winners && facts.wins > 0 && (
        <Part title="Where it wins most often">
          <Tile sheet={view.winners.sheet} number={view.winners.picture} view={{ ...settings, size: 128 }} label="Map of the positions where it wins" />
          <p className="quiet">
            Brightness: the number of images in which it is the most active unit of the layer at this position, at most{" "}
            {formatCount(view.winners.activation ?? 0, "image")}, {formatCount(facts.wins, "win")} in all.
          </p>
        </Part>
      )}
      {view.words.length > 0 && (
        <Part title="Words that it detects">
          <ul className="words">
            {view.words.slice(0, WORDS).map((word) => (
              <li key={`${word.column} ${word.word}`}>
                <strong>{word.word}</strong>: AUROC {word.auroc?.toFixed(2)} (95% CI {word.low?.toFixed(2)} to {word.high?.toFixed(2)});{" "}
                {formatShare(word.purity)} of its strongest images, {formatShare(word.base_rate)} of all.
              </li>
            ))}
          </ul>
        </Part>
      )}
      {view.trust.length > 0 && (
        <Part title="Can its picture be trusted?">
          <dl className="trust">
            {view.trust.map((each) => (
              <div key={each.name}>
                <dt>{each.name}</dt>
                <dd>
                  {each.name.startsWith("Tells") ? formatShare(each.value) : formatNumber(each.value)} <span className="quiet">({each.compare})</span>
                </dd>
              </div>
            ))}
          </dl>
        </Part>
      )}
      {view.readings.map((reading) => (
        <Part key={reading.layer} title={`Weights to ${reading.layer}`}>
          <Weights reading={reading} href={(unit) => unitPath(model_id, reading.layer, unit) + query} />
        </Part>
      ))}
      {view.similar.length > 0 && (
        <Part title="Most similar units">
          <ul className="pictures">
            {view.similar.slice(0, SIMILAR).map(({ unit, correlation }) => {
              const found = pictureOf(whole.sheets, "dataset", unit);
              return (
                <li key={unit} style={{ width: SMALL }}>
                  <Link href={unitPath(model_id, layer, unit) + query}>
                    {found && <Tile sheet={found.sheet} number={found.number} view={small} />}
                    <span className="cell-name">
                      <span className="only-read">Unit</span> {unit}
                    </span>
                    <span className="cell-caption">
                      <span className="only-read">correlation</span> {correlation?.toFixed(2)}
                    </span>
                  </Link>
                </li>
              );
            })}
          </ul>
          <p className="quiet">Correlation of the activations over the images.</p>
        </Part>
      )}
    </aside>
  );
}

function flagged(dead: boolean, twin: number | null): string {
  const found = dead ? ["It never responds on these images."] : [];
  if (twin !== null) found.push(`It responds as unit ${twin} does (correlation above 0.99).`);
  return found.join(" ");
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section>
      <h2>{title}</h2>
      {children}
    </section>
  );
}

function Weights({ reading, href }: { reading: Reading; href: (unit: number) => string }) {
  const most = Math.max(...[...reading.positive, ...reading.negative].map(({ weight }) => Math.abs(weight ?? 0)), 1e-12);
  const lists = [
    ["Strongest positive", reading.positive, "positive"],
    ["Strongest negative", reading.negative, "negative"],
  ] as const;
  return (
    <div className="weights">
      {lists.map(([title, weights, sign]) => (
        <div key={sign}>
          <h3>{title}</h3>
          <ol>
            {weights.map(({ unit, name, weight }) => (
              <li key={unit}>
                <Link href={href(unit)} title={name}>
                  {name}
                </Link>
                <span className={`weight ${sign}`} style={{ width: `${(100 * Math.abs(weight ?? 0)) / most}%` }} />
                <span className="quiet">{formatNumber(weight)}</span>
              </li>
            ))}
          </ol>
        </div>
      ))}
    </div>
  );
}
