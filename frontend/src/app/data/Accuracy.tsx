import { useMemo } from "react";
import { UNLABELLED } from "./Curves";
import { Confusions } from "./Confusions";
import type { PartProps } from "./Explore";
import { FactSelect } from "./FactSelect";
import { Filters } from "./Filters";
import { formatShare } from "../../drawing/format";
import { groupsOf, type Images, wilson } from "./table";

/** Where predictions are wrong: accuracy by slices of two facts, and which classes are confused. */
export function Accuracy({ images, view, change, shown, onSelect }: PartProps) {
  if (!images.facts.has("correct")) return <p>{UNLABELLED}</p>;
  const slice = images.facts.has(view.slice) ? view.slice : "class";
  const by = images.facts.has(view.by) ? view.by : "";
  return (
    <>
      <Filters images={images} where={view.where} left={shown.reduce((sum, one) => sum + one, 0)} onChange={(where) => change({ where })} />
      <section aria-labelledby="slices">
        <h2 id="slices">Accuracy by slice</h2>
        <p className="quiet">Share of correct predictions with its 95% interval. Numbers are divided into thirds. Click a slice to see its images.</p>
        <div className="controls">
          <FactSelect label="Slice by" images={images} value={slice} onChange={(name) => change({ slice: name })} />
          <FactSelect label="and by" images={images} value={by} none="nothing else" onChange={(name) => change({ by: name })} />
        </div>
        <Slices images={images} shown={shown} slice={slice} by={by} onSelect={onSelect} />
      </section>
      <section aria-labelledby="confusions">
        <h2 id="confusions">Confusions</h2>
        <Confusions images={images} shown={shown} onSelect={onSelect} />
      </section>
    </>
  );
}

interface SlicesProps {
  images: Images;
  shown: Uint8Array;
  slice: string;
  by: string;
  onSelect: (rows: readonly number[]) => void;
}

function Slices({ images, shown, slice, by, onSelect }: SlicesProps) {
  const correct = images.facts.get("correct")!;
  const cells = useMemo(() => {
    const [down, across] = [groupsOf(images.facts.get(slice)!), by ? groupsOf(images.facts.get(by)!) : null];
    const rows = down.names.map(() => (across?.names ?? [""]).map((): number[] => []));
    shown.forEach((one, row) => {
      const [r, c] = [down.codes[row]!, across ? across.codes[row]! : 0];
      if (one && r >= 0 && c >= 0 && !Number.isNaN(correct.values[row])) rows[r]![c]!.push(row);
    });
    return { rows, down: down.names, across: across?.names ?? ["all"] };
  }, [images, slice, by, shown, correct]);
  const yes = correct.categories!.indexOf("yes");
  return (
    <div className="scroll" role="region" aria-label="Accuracy by slice" tabIndex={0}>
      <table className="slices">
        <thead>
          <tr>
            <th scope="col">{slice}</th>
            {cells.across.map((name) => (
              <th key={name} scope="col">
                {by ? `${by}: ${name}` : "accuracy"}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {cells.rows.map((row, r) => (
            <tr key={cells.down[r]}>
              <th scope="row">{cells.down[r]}</th>
              {row.map((members, c) => (
                <td key={cells.across[c]}>
                  <Slice
                    name={`${slice} ${cells.down[r]}${by ? `, ${by} ${cells.across[c]}` : ""}`}
                    rows={members}
                    hits={members.filter((member) => correct.values[member] === yes).length}
                    onSelect={onSelect}
                  />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface SliceProps {
  name: string;
  rows: readonly number[];
  hits: number;
  onSelect: (rows: readonly number[]) => void;
}

function Slice({ name, rows, hits, onSelect }: SliceProps) {
  if (rows.length === 0) return <span className="quiet">no images</span>;
  const { value, low, high } = wilson(hits, rows.length);
  return (
    <button type="button" className="slice" onClick={() => onSelect(rows)}>
      <svg className="slice-bar" width="100%" height="14" aria-hidden="true">
        <line className="axis-line" x1="0" x2="100%" y1="7" y2="7" />
        <line className="whisker" x1={`${100 * low}%`} x2={`${100 * high}%`} y1="7" y2="7" />
        <circle className="point" cx={`${100 * value}%`} cy="7" r="4.5" />
      </svg>
      <span>
        <span className="only-read">{name}: </span>
        <strong>{formatShare(value)}</strong>{" "}
        <span className="quiet">
          {formatShare(low)}–{formatShare(high)}, n = {rows.length}
        </span>
      </span>
    </button>
  );
}
