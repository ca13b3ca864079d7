import { useEffect, useState } from "react";
import type { ImageList, JobFacts } from "../api";
import { useAbout } from "./about";
import { STATIC, tell, useAsk } from "./ask";
import { useJobs } from "./jobs";

/** The images, after the model has looked at them. */
export function useImages(): { list: ImageList | null; problem: string } {
  const { value, error, again } = useAsk<ImageList>("/images");
  const { can_compute } = useAbout();
  const { follow } = useJobs();
  const [failed, setFailed] = useState("");
  const computes = can_compute && !STATIC;
  useEffect(() => {
    if (!computes) return;
    const end = (problem: Error) => setFailed(problem.message);
    const done = (job: JobFacts) => (job.state === "done" ? again() : setFailed(job.error));
    tell<number | null>("POST", "/what-if/prepare").then((id) => id !== null && follow(id, done), end);
  }, [computes, follow, again]);
  return { list: value?.ready ? value : null, problem: error || failed };
}
