import { useState } from "react";
import { formatNumber } from "../../drawing/format";
import { FactSelect } from "./FactSelect";
import { type Condition, type Fact, type Images, NOT_KNOWN } from "./table";

interface Props {
  images: Images;
  where: readonly Condition[];
  left: number;
  onChange: (where: readonly Condition[]) => void;
}

/** Which images are shown: conditions that all must hold, and a form that adds one. */
export function Filters({ images, where, left, onChange }: Props) {
  const [name, setName] = useState("");
  const fact = images.facts.get(name);
  const add = (condition: Condition) => {
    onChange([...where.filter(([other]) => other !== condition[0]), condition]);
    setName("");
  };
  return (
    <div className="data-filters">
      <FactSelect label="Only where" images={images} value={name} none="choose …" onChange={setName} />
      {fact && (fact.categories ? <Categories fact={fact} onAdd={add} /> : <Range key={name} fact={fact} onAdd={add} />)}
      {where.map((condition) => (
        <button
          key={condition[0]}
          type="button"
          className="chip"
          onClick={() => onChange(where.filter((other) => other !== condition))}
        >
          {inWords(condition)} <span aria-hidden="true">×</span>
          <span className="only-read">, remove</span>
        </button>
      ))}
      <span className="quiet" role="status">
        {where.length > 0 ? `${left} of ${images.count} images` : ""}
      </span>
    </div>
  );
}

function inWords([name, from, to]: Condition): string {
  return to === undefined ? `${name}: ${from || NOT_KNOWN}` : `${name}: ${formatNumber(Number(from))} to ${formatNumber(to)}`;
}

function Categories({ fact, onAdd }: { fact: Fact; onAdd: (condition: Condition) => void }) {
  return (
    <label className="field">
      <span>is</span>
      <select value="?" onChange={(event) => onAdd([fact.name, event.target.value])}>
        <option value="?" disabled>
          choose …
        </option>
        {fact.categories!.map((category) => (
          <option key={category}>{category}</option>
        ))}
        {fact.values.some(Number.isNaN) && <option value="">{NOT_KNOWN}</option>}
      </select>
    </label>
  );
}

function Range({ fact, onAdd }: { fact: Fact; onAdd: (condition: Condition) => void }) {
  const known = fact.values.filter((value) => !Number.isNaN(value));
  const [from, setFrom] = useState(String(known.reduce((a, b) => Math.min(a, b), Infinity)));
  const [to, setTo] = useState(String(known.reduce((a, b) => Math.max(a, b), -Infinity)));
  const valid = from !== "" && to !== "" && Number(from) <= Number(to);
  return (
    <form
      className="number-range"
      onSubmit={(event) => {
        event.preventDefault();
        if (valid) onAdd([fact.name, Number(from), Number(to)]);
      }}
    >
      <label className="field">
        <span>from</span>
        <input type="number" step="any" value={from} onChange={(event) => setFrom(event.target.value)} />
      </label>
      <label className="field">
        <span>to</span>
        <input type="number" step="any" value={to} onChange={(event) => setTo(event.target.value)} />
      </label>
      <button type="submit" className="plain" disabled={!valid}>
        Add
      </button>
    </form>
  );
}
