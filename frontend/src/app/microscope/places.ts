/** Addresses of layers and units, and the view settings in them. */
import { useCallback } from "react";
import { useSearchParams } from "wouter";

export const OBJECTIVES = {
  channel: "Channel",
  neuron: "One neuron",
  negative: "Negative",
  diversity: "Diversity",
} as const;
export type Objective = keyof typeof OBJECTIVES;

/** The five lenses of a unit; feature visualization has four objectives. */
export const LENSES = {
  channel: "Feature visualization",
  dream: "Deep dream",
  dataset: "Dataset samples",
  caricature: "Caricature",
  text: "Text",
} as const;
export type Lens = keyof typeof LENSES;

/** What a grid of all units can show. */
export const GRIDS = {
  dataset: "Dataset samples",
  winners: "Where it wins most often",
  channel: "Feature visualization",
  neuron: "Feature visualization: one neuron",
  negative: "Feature visualization: negative",
  diversity: "Feature visualization: diversity",
} as const;

export type Technique = Lens | Objective | "winners";
export const SIZES = [48, 64, 96, 128, 192, 256];

export interface Settings {
  technique: Technique;
  size: number;
  fit: "crop" | "scale";
  pixels: "smooth" | "pixelated";
}

export const isObjective = (technique: string): technique is Objective => technique in OBJECTIVES;
export const lensOf = (technique: Technique): Lens =>
  isObjective(technique) ? "channel" : technique === "winners" ? "dataset" : technique;

/** The settings in the address, and a way to change one of them. */
export function useSettings(size: number): [Settings, (name: string, value: string) => void, string] {
  const [found, change] = useSearchParams();
  const technique = found.get("technique") ?? "";
  const asked = Number(found.get("size"));
  const settings: Settings = {
    technique: technique in LENSES || technique in GRIDS ? (technique as Technique) : "dataset",
    size: SIZES.includes(asked) ? asked : size,
    fit: found.get("fit") === "crop" ? "crop" : "scale",
    pixels: found.get("pixels") === "pixelated" ? "pixelated" : "smooth",
  };
  const set = useCallback(
    (name: string, value: string) =>
      change(
        (before) => {
          const after = new URLSearchParams(before);
          if (value) after.set(name, value);
          else after.delete(name);
          return after;
        },
        { replace: true },
      ),
    [change],
  );
  const text = found.toString();
  return [settings, set, text ? `?${text}` : ""];
}

export const layerPath = (model: string, layer: string) => `/m/${model}/${encodeURIComponent(layer)}`;
export const unitPath = (model: string, layer: string, unit: number) => `${layerPath(model, layer)}/${unit}`;

/** A layer's name from an address. */
export function layerOf(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}


