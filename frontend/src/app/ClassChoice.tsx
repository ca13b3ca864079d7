import { useId } from "react";

interface Props {
  label: string;
  /** The placeholder for no class. */
  none: string;
  names: readonly string[];
  value: number | null;
  onChange: (value: number | null) => void;
}

/** A class by its name, among a few or a thousand. */
export function ClassChoice({ label, none, names, value, onChange }: Props) {
  const list = useId();
  return (
    <label>
      {label}
      <input
        key={value ?? "none"}
        list={list}
        placeholder={none}
        defaultValue={value === null ? "" : names[value]}
        onChange={(event) => {
          const found = names.indexOf(event.target.value.trim());
          if (found >= 0 || event.target.value.trim() === "") onChange(found >= 0 ? found : null);
        }}
      />
      <datalist id={list}>
        {names.map((name, i) => (
          <option key={i} value={name} />
        ))}
      </datalist>
    </label>
  );
}

/** Several classes; each chosen one can be removed. */
export function ClassesChoice({
  names,
  value,
  onChange,
}: {
  names: readonly string[];
  value: readonly number[];
  onChange: (value: number[]) => void;
}) {
  return (
    <fieldset>
      <legend>Classes</legend>
      <ClassChoice
        label="Add a class"
        none="a class"
        names={names}
        value={null}
        onChange={(added) => added !== null && !value.includes(added) && onChange([...value, added])}
      />
      <ul className="chosen">
        {value.map((index) => (
          <li key={index}>
            {names[index]}
            <button
              type="button"
              className="remove"
              aria-label={`Remove ${names[index]}`}
              onClick={() => onChange(value.filter((other) => other !== index))}
            >
              ×
            </button>
          </li>
        ))}
      </ul>
    </fieldset>
  );
}
