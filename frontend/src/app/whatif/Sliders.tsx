import { plain } from "../MethodForm";
import { useId } from "react";
import type { Corruption, ImageFacts } from "../../api";
import { formatNumber } from "../../drawing/format";
import { type Edit, type Slider, valueOf, withKind, withSlider } from "./edits";

interface Props {
  sliders: readonly Slider[];
  edits: readonly Edit[];
  image: ImageFacts | null;
  count: number;
  onChange: (key: string, label: string, edits: Edit[]) => void;
}

const CORRUPTIONS: readonly Corruption["name"][] = [
  "gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur",
  "gaussian_blur", "snow", "frost", "fog", "brightness", "spatter", "contrast", "saturate", "elastic_transform", "pixelate",
  "jpeg_compression",
];

/** Edits of the whole image. */
export function Sliders({ sliders, edits, image, count, onChange }: Props) {
  const corruption = edits.find((edit) => edit.kind === "corruption");
  const mirrored = edits.some((edit) => edit.kind === "mirror");
  const background = edits.find((edit) => edit.kind === "background");
  const corrupt = (name: string, severity: number) => {
    const made = name ? ({ kind: "corruption", name: name as Corruption["name"], severity, seed: 0 } as const) : null;
    onChange("corruption", name ? `${plain(name)}, severity ${severity}` : "No corruption", withKind(edits, "corruption", made));
  };
  return (
    <div className="sliders">
      {sliders.map((slider) => (
        <Range
          key={`${slider.kind}.${slider.parameter}`}
          {...slider}
          value={valueOf(edits, slider)}
          onChange={(value) =>
            onChange(`${slider.kind}.${slider.parameter}`, `${slider.label} ${formatNumber(value)}${slider.unit}`, withSlider(edits, slider, value))
          }
        />
      ))}
      <label className="check">
        <input
          type="checkbox"
          checked={mirrored}
          onChange={(event) => {
            const made = event.target.checked ? ({ kind: "mirror", axis: "horizontal" } as const) : null;
            onChange("mirror", made ? "Mirrored" : "Not mirrored", withKind(edits, "mirror", made));
          }}
        />{" "}
        Mirror left and right
      </label>
      <label>
        Corruption
        <select value={corruption?.name ?? ""} onChange={(event) => corrupt(event.target.value, corruption?.severity ?? 1)}>
          <option value="">none</option>
          {CORRUPTIONS.map((name) => (
            <option key={name} value={name}>
              {plain(name)}
            </option>
          ))}
        </select>
      </label>
      {corruption && (
        <Range label="Severity" low={1} high={5} step={1} unit="" value={corruption.severity} onChange={(value) => corrupt(corruption.name, value)} />
      )}
      {image?.has_mask && (
        <label>
          Background of image number (empty: its own)
          <input
            type="number"
            min={0}
            max={count - 1}
            value={background?.row ?? ""}
            onChange={(event) => {
              const made = event.target.value ? ({ kind: "background", row: Number(event.target.value) } as const) : null;
              onChange("background", made ? `Background of image ${made.row}` : "Own background", withKind(edits, "background", made));
            }}
          />
        </label>
      )}
    </div>
  );
}

interface RangeProps {
  label: string;
  low: number;
  high: number;
  step: number;
  unit: string;
  value: number;
  onChange: (value: number) => void;
}

export function Range({ label, low, high, step, unit, value, onChange }: RangeProps) {
  const id = useId();
  return (
    <div className="range">
      <label htmlFor={id}>{label}</label>
      <output htmlFor={id}>
        {formatNumber(value)}
        {unit}
      </output>
      <input id={id} type="range" min={low} max={high} step={step} value={value} onChange={(event) => onChange(Number(event.target.value))} />
    </div>
  );
}
