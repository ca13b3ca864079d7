/** What an axis or a color can show: a column, the probability of a class, or the map of a layer. */
import { useEffect, useMemo } from "react";
import type { ImageMap } from "../../api";
import { useAbout } from "../about";
import { address, STATIC, useAsk } from "../ask";
import { useJob } from "../jobs";
import { type Fact, factOf, type Images } from "./table";
import type { View } from "./view";

/** The fact that a name in the view stands for; none while it is not there. */
export function useFact(name: string, images: Images, map: ImageMap | undefined): Fact | null {
  const index = name.startsWith("probability:") ? Number(name.slice("probability:".length)) : null;
  const { value } = useAsk<number[]>(index === null ? null : address("/data/probability", { class: index }));
  return useMemo(() => {
    if (index !== null) return value?.length === images.count ? factOf(`probability of ${images.classes[index]}`, value, null) : null;
    if (name === "map:1" || name === "map:2") return map?.ready ? ofMap(name, map) : null;
    return images.facts.get(name) ?? null;
  }, [name, index, value, images, map]);
}

function ofMap(name: string, map: ImageMap): Fact {
  const first = name === "map:1";
  const share = map.explained?.[first ? 0 : 1];
  const explained = typeof share === "number" ? `, ${Math.round(100 * share)}% of the variance` : "";
  return factOf(`map, ${first ? "first" : "second"} axis${explained}`, first ? map.x : map.y, null);
}

/** The map of the layer in the view, which the server computes first where it is missing. */
export function useMap(view: View, images: Images): { map: ImageMap | undefined; problem: string } {
  const { can_compute } = useAbout();
  const { problem, start } = useJob();
  const needed = [view.x, view.y, view.color].some((name) => name.startsWith("map:"));
  const layer = view.layer || images.layers.at(-1) || "";
  const path = needed && layer ? address("/data/map", { layer, layout: view.layout }) : null;
  const { value: map, error, again } = useAsk<ImageMap>(path);
  const missing = path !== null && map?.ready === false;
  useEffect(() => {
    if (missing && path !== null && can_compute && !STATIC) start(path, undefined, again);
  }, [missing, path, can_compute, start, again]);
  return { map, problem: (missing && problem) || error };
}
