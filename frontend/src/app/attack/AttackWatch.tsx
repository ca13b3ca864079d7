import { formatCount, formatShare } from "../../drawing/format";

/** What an attack tries at the moment. */
export interface Step {
  looks: number;
  picture: string;
  difference: string | null;
  top: [string, number][];
}

/** The picture that an attack tries now, its prediction, and its difference from the unchanged image. */
export function AttackWatch({ step, task }: { step: Step | null; task: string }) {
  if (!step) return <p className="quiet">{task || "Starting"}</p>;
  return (
    <div className="watch">
      <figure>
        <img src={step.picture} alt="What the attack tries now" className="lab-picture" />
        <figcaption>
          {formatCount(step.looks, "prediction")}
          {task && `, ${task}`}
        </figcaption>
      </figure>
      {step.difference && (
        <figure>
          <img src={step.difference} alt="The difference from the unchanged image, amplified" className="lab-picture" />
          <figcaption>the difference, amplified</figcaption>
        </figure>
      )}
      <ol className="bars" aria-label="Prediction">
        {step.top.map(([name, share]) => (
          <li key={name}>
            <span className="bars-name">{name}</span>
            <span className="bars-bar" aria-hidden="true">
              <span style={{ width: `${100 * share}%` }} />
            </span>
            <span className="bars-share">{formatShare(share)}</span>
          </li>
        ))}
      </ol>
    </div>
  );
}
