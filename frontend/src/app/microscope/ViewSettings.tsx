import { type Settings, SIZES } from "./places";

interface Props {
  settings: Settings;
  set: (name: string, value: string) => void;
  techniques?: Readonly<Record<string, string>>;
}

/** How pictures are shown: technique, size, crop or scale, smooth or pixelated. */
export function ViewSettings({ settings, set, techniques }: Props) {
  return (
    <>
      {techniques && (
        <Choice
          label="Technique"
          value={settings.technique in techniques ? settings.technique : "dataset"}
          choices={Object.entries(techniques)}
          onChange={(value) => set("technique", value)}
        />
      )}
      <Choice
        label="Size"
        value={String(settings.size)}
        choices={SIZES.map((size) => [String(size), `${size} px`])}
        onChange={(value) => set("size", value)}
      />
      <Choice
        label="Fit"
        value={settings.fit}
        choices={[
          ["scale", "Scale"],
          ["crop", "Crop"],
        ]}
        onChange={(value) => set("fit", value)}
      />
      <Choice
        label="Pixels"
        value={settings.pixels}
        choices={[
          ["smooth", "Smooth"],
          ["pixelated", "Pixelated"],
        ]}
        onChange={(value) => set("pixels", value)}
      />
    </>
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  choices: readonly (readonly [string, string])[];
  onChange: (value: string) => void;
}

/** A labelled list of choices. */
export function Choice({ label, value, choices, onChange }: ChoiceProps) {
  return (
    <label className="field">
      <span>{label}</span>
      <select value={value} onChange={(event) => onChange(event.target.value)}>
        {choices.map(([name, text]) => (
          <option key={name} value={name}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}
