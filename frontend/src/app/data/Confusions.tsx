import { useMemo } from "react";
import { formatCount } from "../../drawing/format";
import type { Images } from "./table";

const CLASSES = 12; // The most frequent ones; the rest is in the list of pairs.
const PAIRS = 10;

interface Props {
  images: Images;
  shown: Uint8Array;
  onSelect: (rows: readonly number[]) => void;
}

interface Pair {
  truth: string;
  prediction: string;
  rows: number[];
}

/** Which classes are predicted for which; every number opens its images. */
export function Confusions({ images, shown, onSelect }: Props) {
  const pairs = useMemo(() => pairsOf(images, shown), [images, shown]);
  const classes = useMemo(() => frequent(pairs), [pairs]);
  const of = (truth: string, prediction: string) => pairs.get(`${truth}\n${prediction}`);
  const wrong = [...pairs.values()].filter((pair) => pair.truth !== pair.prediction).sort((a, b) => b.rows.length - a.rows.length);
  const most = Math.max(1, ...[...pairs.values()].map((pair) => pair.rows.length));
  const all = new Set([...pairs.values()].flatMap((pair) => [pair.truth, pair.prediction])).size;
  return (
    <div className="confusions">
      <div className="scroll" role="region" aria-label="Confusion matrix" tabIndex={0}>
        <table className="confusion">
          <caption className="quiet">
            Rows: the label; columns: the prediction.{all > CLASSES && ` The ${CLASSES} most frequent of ${all} classes.`}
          </caption>
          <thead>
            <tr>
              <td className="corner" />
              {classes.map((name) => (
                <th key={name} scope="col">
                  <span>{name}</span>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {classes.map((truth) => (
              <tr key={truth}>
                <th scope="row">{truth}</th>
                {classes.map((prediction) => (
                  <CountCell key={prediction} pair={of(truth, prediction)} most={most} onSelect={onSelect} />
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div>
        <h3>Most frequent confusions</h3>
        {wrong.length === 0 && <p>No labelled image is predicted wrongly.</p>}
        <ol className="pairs">
          {wrong.slice(0, PAIRS).map((pair) => (
            <li key={`${pair.truth}\n${pair.prediction}`}>
              <button type="button" className="link" onClick={() => onSelect(pair.rows)}>
                {pair.truth} predicted as {pair.prediction}
              </button>{" "}
              <span className="quiet">{formatCount(pair.rows.length, "image")}</span>
            </li>
          ))}
        </ol>
      </div>
    </div>
  );
}

function CountCell({ pair, most, onSelect }: { pair: Pair | undefined; most: number; onSelect: Props["onSelect"] }) {
  if (!pair) return <td className="quiet">0</td>;
  const count = pair.rows.length;
  const right = pair.truth === pair.prediction;
  const share = `${Math.round(8 + 32 * Math.sqrt(count / most))}%`;
  return (
    <td style={{ background: `color-mix(in srgb, var(${right ? "--series-1" : "--series-2"}) ${share}, var(--paper))` }}>
      <button
        type="button"
        className="confusion-count"
        aria-label={`${formatCount(count, "image")} of ${pair.truth} predicted as ${pair.prediction}`}
        onClick={() => onSelect(pair.rows)}
      >
        {count}
      </button>
    </td>
  );
}

function pairsOf(images: Images, shown: Uint8Array): Map<string, Pair> {
  const [truths, predictions] = [images.facts.get("class")!, images.facts.get("prediction")!];
  const pairs = new Map<string, Pair>();
  shown.forEach((one, row) => {
    if (!one || Number.isNaN(truths.values[row])) return;
    const truth = truths.categories![truths.values[row]!]!;
    const prediction = predictions.categories![predictions.values[row]!]!;
    const key = `${truth}\n${prediction}`;
    const pair = pairs.get(key) ?? { truth, prediction, rows: [] };
    pair.rows.push(row);
    pairs.set(key, pair);
  });
  return pairs;
}

/** The classes with most images and most mistakes, in the order of their names. */
function frequent(pairs: ReadonlyMap<string, Pair>): string[] {
  const counts = new Map<string, number>();
  for (const { truth, prediction, rows } of pairs.values()) {
    for (const name of [truth, prediction]) counts.set(name, (counts.get(name) ?? 0) + rows.length);
  }
  const order = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  return order.slice(0, CLASSES).map(([name]) => name).sort();
}
