import { useEffect } from "react";
import type { ImageList } from "../api";
import { useAbout } from "./about";
import { STATIC, useAsk } from "./ask";
import { useJob } from "./jobs";

export const COMPUTING = "Computing the predictions for all images …";

/** The images with their predictions, which the server computes first where they are missing. */
export function useImages(): { list: ImageList | null; problem: string } {
  const { value, error, again } = useAsk<ImageList>("/images");
  const { can_compute } = useAbout();
  const { problem, start } = useJob();
  const computes = can_compute && !STATIC;
  useEffect(() => {
    if (computes) start("/what-if/prepare", undefined, again);
  }, [computes, start, again]);
  return { list: value?.ready ? value : null, problem: error || problem };
}
