import { formatShare } from "../../drawing/format";
import type { History } from "./edits";

interface Props {
  name: string;
  history: History;
  /** The probability of the class at each step that was looked at, by the step's number. */
  values: ReadonlyMap<number, number>;
  onGo: (to: number) => void;
}

const [WIDTH, HEIGHT] = [300, 56];

/** What was done, with the probability of a class after each step. */
export function Trace({ name, history, values, onGo }: Props) {
  const { steps, at } = history;
  const known = steps.flatMap((step, i) => (values.has(step.id) ? [{ i, value: values.get(step.id)! }] : []));
  const x = (i: number) => 4 + ((WIDTH - 8) * i) / Math.max(1, steps.length - 1);
  const y = (value: number) => HEIGHT - 4 - (HEIGHT - 8) * value;
  return (
    <div className="trace">
      <h3>History: probability of {name}</h3>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`Probability of ${name}: ${known.map((k) => formatShare(k.value)).join(", ")}`}>
        <path className="grid-line" d={`M0 ${y(0)}H${WIDTH}M0 ${y(1)}H${WIDTH}`} />
        <polyline className="trace-line" points={known.map((k) => `${x(k.i)},${y(k.value)}`).join(" ")} />
        {known.map((k) => (
          <circle key={k.i} className={k.i === at ? "trace-dot now" : "trace-dot"} cx={x(k.i)} cy={y(k.value)} r={k.i === at ? 4 : 2.5} />
        ))}
      </svg>
      <ol className="history" tabIndex={0} aria-label="History">
        {steps.map((step, i) => (
          <li key={step.id}>
            <button type="button" className="link" aria-current={i === at ? "step" : undefined} onClick={() => onGo(i)}>
              {step.label}
            </button>{" "}
            <span className="quiet">{values.has(step.id) ? formatShare(values.get(step.id)!) : ""}</span>
          </li>
        ))}
      </ol>
    </div>
  );
}
