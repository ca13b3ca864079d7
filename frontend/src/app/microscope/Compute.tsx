import type { Costs, Wanted } from "../../api";
import { formatDuration } from "../../drawing/format";
import { useAbout } from "../about";
import { address, STATIC, useAsk } from "../ask";
import { useJob } from "../jobs";

/** The text of the button that analyzes a layer on the images. */
export const ANALYZE = "Analyze the images";

interface Props {
  /** The text of the button. */
  text: string;
  wanted: Pick<Wanted, "layer" | "technique"> & Partial<Wanted>;
  /** Its seconds, from the costs of the layer. */
  cost: (costs: Costs) => number | null;
  onDone: () => void;
}

/** A button that computes what is missing, then its progress or error. */
export function Compute({ text, wanted, cost, onDone }: Props) {
  const about = useAbout();
  const { job, running, problem, start } = useJob();
  const possible = about.can_compute && !STATIC;
  const { value: costs } = useAsk<Costs>(possible ? address("/microscope/costs", { layer: wanted.layer }) : null);
  if (!possible) return <p className="quiet">This is not in the run folder, and there is no model to compute it.</p>;

  const seconds = costs && cost(costs);
  return (
    <div className="compute" aria-live="polite">
      {running ? (
        <p>
          {job?.state === "waiting" ? "Waiting for other jobs …" : job?.task || "Starting …"}{" "}
          <progress aria-label={text} max={job?.total || 1} {...(job?.total ? { value: job.done } : {})} />
        </p>
      ) : (
        <button type="button" className="plain" onClick={() => start("/microscope/compute", wanted, onDone)}>
          {text}
          {seconds ? ` (about ${formatDuration(seconds)})` : ""}
        </button>
      )}
      {problem && <p role="alert">{problem}</p>}
    </div>
  );
}
