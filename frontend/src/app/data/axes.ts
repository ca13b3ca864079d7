/** What an axis or a color can show: a column, the probability of a class, or the map of a layer. */
import { useEffect, useMemo, useState } from "react";
import type { ImageMap, JobFacts } from "../../api";
import { useAbout } from "../about";
import { address, STATIC, tell, useAsk } from "../ask";
import { useJobs } from "../jobs";
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

/** Why a job gave nothing; nothing while it may still give something. */
export const whyNot = ({ state, error }: JobFacts) => (state === "cancelled" ? "This was stopped before it was done." : error);

/** The map of the layer in the view, made where it is not there yet. */
export function useMap(view: View, images: Images): { map: ImageMap | undefined; problem: string } {
  const about = useAbout();
  const { follow } = useJobs();
  const [problem, setProblem] = useState("");
  const needed = [view.x, view.y, view.color].some((name) => name.startsWith("map:"));
  const layer = view.layer || images.layers.at(-1) || "";
  const path = needed && layer ? address("/data/map", { layer, layout: view.layout }) : null;
  const { value: map, error, again } = useAsk<ImageMap>(path);
  const missing = path !== null && map?.ready === false;
  useEffect(() => {
    setProblem("");
    if (!missing || path === null || STATIC || !about.can_compute) return;
    tell<number>("POST", path).then(
      (id) => follow(id, (job) => (job.state === "done" ? again() : setProblem(whyNot(job)))),
      (failed: Error) => setProblem(failed.message),
    );
  }, [missing, path, about.can_compute, follow, again]);
  return { map, problem: problem || error };
}
