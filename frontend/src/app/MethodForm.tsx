import type { MethodFacts, ParameterFacts } from "../api";

export type Settings = Record<string, number | string | boolean>;

interface Props {
  method: MethodFacts;
  settings: Settings;
  onChange: (settings: Settings) => void;
}

/** The settings of a method, as its signature declares them. What is left alone keeps its default. */
export function MethodForm({ method, settings, onChange }: Props) {
  const set = (name: string, value: number | string | boolean | undefined) => {
    const { [name]: _, ...rest } = settings;
    onChange(value === undefined ? rest : { ...rest, [name]: value });
  };
  return (
    <fieldset className="settings">
      <legend>Settings of {method.name}</legend>
      {method.parameters.map((parameter) => (
        <Field key={parameter.name} parameter={parameter} value={settings[parameter.name]} onChange={set} />
      ))}
      {method.parameters.length === 0 && <p className="quiet">It has none.</p>}
    </fieldset>
  );
}

interface FieldProps {
  parameter: ParameterFacts;
  value: number | string | boolean | undefined;
  onChange: (name: string, value: number | string | boolean | undefined) => void;
}

function Field({ parameter, value, onChange }: FieldProps) {
  const { name, choices, type, low, high, description } = parameter;
  const usual = parameter.default;
  const label = name.replaceAll("_", " ");
  if (choices.length > 0)
    return (
      <span className="choice" title={description}>
        <label htmlFor={`setting-${name}`}>{label}</label>
        <select id={`setting-${name}`} value={String(value ?? usual ?? "")} onChange={(event) => onChange(name, event.target.value)}>
          {choices.map((choice) => (
            <option key={choice}>{choice}</option>
          ))}
        </select>
      </span>
    );
  if (type === "bool")
    return (
      <label title={description} className="check">
        <input type="checkbox" checked={Boolean(value ?? usual)} onChange={(event) => onChange(name, event.target.checked)} />
        {label}
      </label>
    );
  const isNumber = /int|float/.test(type);
  return (
    <label title={description}>
      {label}
      <input
        type={isNumber ? "number" : "text"}
        step={/float/.test(type) ? "any" : 1}
        min={low ?? undefined}
        max={high ?? undefined}
        placeholder={usual === null ? "default" : short(usual)}
        value={value === undefined ? "" : String(value)}
        onChange={(event) => {
          const text = event.target.value;
          onChange(name, text === "" ? undefined : isNumber ? Number(text) : text);
        }}
      />
    </label>
  );
}

/** A default as people read it: 0.0314, not 0.03137254901960784. */
function short(value: number | string | boolean): string {
  return typeof value === "number" ? String(Number(value.toPrecision(3))) : String(value);
}
