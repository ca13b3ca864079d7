/** Edits as the server takes them, the sliders that make them, and the history of a session. */
import type {
  Background, Blend, Blur, Brightness, Contrast, Corruption, Hue, Jpeg, Mirror, Noise, Patch, Saturation, Scale, Shift, Turn,
} from "../../api";

export type Edit =
  | Patch | Shift | Turn | Scale | Mirror | Brightness | Contrast | Hue | Saturation | Blur | Noise | Jpeg | Corruption
  | Background | Blend;
export type ImageId = number | string;

/** A slider for a number of an edit; at `neutral` there is no edit. */
export interface Slider {
  kind: Edit["kind"];
  parameter: string;
  label: string;
  low: number;
  high: number;
  step: number;
  neutral: number;
  unit: string;
}

const PIXELS = "\u202fpx"; // with a narrow space

/** The sliders, for images of a size. */
export function slidersFor(height: number, width: number): Slider[] {
  const [down, right] = [Math.floor(height / 2), Math.floor(width / 2)];
  const make = (kind: Edit["kind"], parameter: string, label: string, ...n: [number, number, number, number, string?]): Slider => ({
    kind, parameter, label, low: n[0], high: n[1], step: n[2], neutral: n[3], unit: n[4] ?? "",
  });
  return [
    make("shift", "right", "Shift right", -right, right, 1, 0, PIXELS),
    make("shift", "down", "Shift down", -down, down, 1, 0, PIXELS),
    make("turn", "degrees", "Turn", -180, 180, 1, 0, "°"),
    make("scale", "factor", "Scale", 0.2, 3, 0.05, 1, "×"),
    make("brightness", "amount", "Brightness", -1, 1, 0.02, 0),
    make("contrast", "factor", "Contrast", 0, 3, 0.05, 1, "×"),
    make("hue", "degrees", "Hue", -180, 180, 2, 0, "°"),
    make("saturation", "factor", "Saturation", 0, 3, 0.05, 1, "×"),
    make("blur", "sigma", "Blur", 0, Math.max(4, Math.round(width / 16)), 0.1, 0, PIXELS),
    make("noise", "sigma", "Noise", 0, 0.5, 0.01, 0),
    make("jpeg", "quality", "JPEG quality", 1, 100, 1, 100),
  ];
}

export function valueOf(edits: readonly Edit[], slider: Slider): number {
  const edit = edits.find((each) => each.kind === slider.kind) as Record<string, unknown> | undefined;
  const value = edit?.[slider.parameter];
  return typeof value === "number" ? value : slider.neutral;
}

const FRESH: Partial<Record<Edit["kind"], object>> = { shift: { down: 0, right: 0 }, noise: { seed: 0 } };

/** The edits with a slider at a value: its edit stays at its place, or comes at the end. */
export function withSlider(edits: readonly Edit[], slider: Slider, value: number): Edit[] {
  const held = edits.find((each) => each.kind === slider.kind);
  const made = { ...FRESH[slider.kind], ...held, kind: slider.kind, [slider.parameter]: value } as Edit;
  const neutral = value === slider.neutral && !(made.kind === "shift" && (made.down || made.right));
  return withKind(edits, slider.kind, neutral ? null : made);
}

/** The edits with the one of a kind replaced, added at the end (a new background: at the start), or without it. */
export function withKind(edits: readonly Edit[], kind: Edit["kind"], made: Edit | null): Edit[] {
  if (!made) return edits.filter((each) => each.kind !== kind);
  if (edits.some((each) => each.kind === kind)) return edits.map((each) => (each.kind === kind ? made : each));
  return made.kind === "background" ? [made, ...edits] : [...edits, made];
}

/** A state of the session. Steps with the same key in a row are one, such as all positions of a slider. */
export interface Step {
  id: number;
  key: string;
  label: string;
  edits: readonly Edit[];
  /** Whether the canvas shows it already. */
  local: boolean;
}

export interface History {
  steps: readonly Step[];
  at: number;
  next: number;
}

export type Change =
  | { type: "set"; key: string; label: string; edits: readonly Edit[]; local?: boolean }
  | { type: "go"; to: number }
  | { type: "begin" };

export const BEGINNING: History = { steps: [{ id: 0, key: "", label: "Unedited", edits: [], local: false }], at: 0, next: 1 };

export function changed(history: History, change: Change): History {
  if (change.type === "begin") return { ...BEGINNING, steps: [{ ...BEGINNING.steps[0]!, id: history.next }], next: history.next + 1 };
  if (change.type === "go") {
    const at = Math.max(0, Math.min(history.steps.length - 1, change.to));
    const steps = history.steps.map((step, i) => (i === at ? { ...step, local: false } : step));
    return { ...history, steps, at };
  }
  const kept = history.steps.slice(0, history.at + 1);
  if (kept[kept.length - 1]!.key === change.key) kept.pop();
  const { key, label, edits, local = false } = change;
  const steps = [...kept, { id: history.next, key, label, edits, local }];
  return { steps, at: steps.length - 1, next: history.next + 1 };
}
