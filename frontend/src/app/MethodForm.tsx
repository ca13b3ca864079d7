import type { MethodFacts, ParameterFacts } from "../api";

/** Settings as texts; those that are missing keep their default. */
export type Settings = Record<string, string>;

interface Props {
  method: MethodFacts;
  settings: Settings;
  onChange: (settings: Settings) => void;
}

/** The settings of a method, as its signature declares them. */
export function MethodForm({ method, settings, onChange }: Props) {
  return (
    <fieldset className="settings">
      <legend>Settings of {plain(method.name)}</legend>
      {method.parameters.map((parameter) => (
        <Setting
          key={`${method.name}.${parameter.name}`}
          parameter={parameter}
          value={settings[parameter.name] ?? ""}
          onChange={(value) => onChange({ ...settings, [parameter.name]: value })}
        />
      ))}
      {method.parameters.length === 0 && <p className="quiet">This method has no settings.</p>}
    </fieldset>
  );
}

interface SettingProps {
  parameter: ParameterFacts;
  value: string;
  onChange: (value: string) => void;
}

/** One setting: a choice, a number or a text. */
export function Setting({ parameter, value, onChange }: SettingProps) {
  const { name, kind, low, high, choices, description } = parameter;
  const id = `setting-${name}`;
  return (
    <span className="setting" title={description}>
      {/* The tooltip is for the pointer; screen readers get the description of the control. */}
      <label htmlFor={id}>{plain(name)}</label>
      {kind === "choice" || kind === "flag" ? (
        <select id={id} aria-description={description} value={value || parameter.default} onChange={(event) => onChange(event.target.value)}>
          {(kind === "flag" ? ["true", "false"] : choices).map((choice) => (
            <option key={choice}>{choice}</option>
          ))}
        </select>
      ) : (
        <input
          id={id}
          aria-description={description}
          type={kind === "text" ? "text" : "number"}
          value={value}
          placeholder={short(parameter.default) || "automatic"}
          min={low ?? undefined}
          max={high ?? undefined}
          step={kind === "number" ? "any" : 1}
          onChange={(event) => onChange(event.target.value)}
        />
      )}
    </span>
  );
}

/** A name as people read it. */
export const plain = (name: string) => name.replaceAll("_", " ");

/** A default as people read it: 0.0314, not 0.03137254901960784. */
function short(text: string): string {
  return text.length > 6 && Number.isFinite(Number(text)) ? String(Number(Number(text).toPrecision(3))) : text;
}
