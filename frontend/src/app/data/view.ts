/** What the data page shows. The address holds it, so that a view can be kept and shared. */
import { useCallback, useMemo } from "react";
import { useLocation, useSearch } from "wouter";
import type { Condition } from "./table";

export const TABS = {
  images: "Images",
  accuracy: "Slices and confusions",
  curves: "Curves and thresholds",
  fairness: "Fairness",
  places: "Places",
} as const;
export type Tab = keyof typeof TABS;

/** Axes and color name a column, `probability:3` (of a class), `map:1` or `map:2`. A class of -1: none was chosen. */
export interface View {
  tab: Tab;
  x: string;
  y: string;
  color: string;
  layer: string;
  layout: "pca" | "tsne";
  where: readonly Condition[];
  slice: string;
  by: string;
  class: number;
  group: string;
  reference: string;
}

const START: View = {
  tab: "images",
  x: "",
  y: "",
  color: "",
  layer: "",
  layout: "pca",
  where: [],
  slice: "",
  by: "",
  class: -1,
  group: "",
  reference: "",
};

export type Change = (change: Partial<View>) => void;

export function useView(): [View, Change] {
  const search = useSearch();
  const [location, navigate] = useLocation();
  const view = useMemo(() => fromSearch(search), [search]);
  const change = useCallback<Change>(
    (part) => navigate(`${location}${toSearch({ ...fromSearch(search), ...part })}`, { replace: true }),
    [location, navigate, search],
  );
  return [view, change];
}

export function fromSearch(search: string): View {
  const given = new URLSearchParams(search);
  const text = (name: keyof View) => given.get(name) ?? "";
  const number = Number(given.get("class") ?? START.class);
  return {
    ...START,
    tab: text("tab") in TABS ? (text("tab") as Tab) : "images",
    x: text("x"),
    y: text("y"),
    color: text("color"),
    layer: text("layer"),
    layout: text("layout") === "tsne" ? "tsne" : "pca",
    where: conditions(text("where")),
    slice: text("slice"),
    by: text("by"),
    class: Number.isInteger(number) ? number : START.class,
    group: text("group"),
    reference: text("reference"),
  };
}

/** Never empty: without any text, the router of a static copy would keep what was there before. */
export function toSearch(view: View): string {
  const given = new URLSearchParams({ tab: view.tab });
  for (const [name, start] of Object.entries(START)) {
    const value = view[name as keyof View];
    const text = name === "where" ? (view.where.length > 0 ? JSON.stringify(view.where) : "") : String(value);
    if (text !== "" && value !== start) given.set(name, text);
  }
  return `?${given.toString()}`;
}

function conditions(text: string): Condition[] {
  try {
    const given: unknown = JSON.parse(text || "[]");
    return Array.isArray(given) ? given.filter(isCondition) : [];
  } catch {
    return [];
  }
}

function isCondition(given: unknown): given is Condition {
  if (!Array.isArray(given) || typeof given[0] !== "string") return false;
  const [, from, to] = given as unknown[];
  return given.length === 2 ? typeof from === "string" : given.length === 3 && typeof from === "number" && typeof to === "number";
}
