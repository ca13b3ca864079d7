import { useEffect, useId, useState } from "react";
import type { GroupRates, Share, StrategyResult, ThresholdAnswer } from "../../api";
import { formatInterval, formatNumber, formatShare } from "../../drawing/format";
import { tell } from "../ask";

const PAUSE = 60; // Milliseconds that a slider rests before the server is asked.
const MEANING: Record<string, string> = {
  custom: "thresholds of your own",
  single: "one threshold, the cheapest",
  "per group": "the cheapest threshold of each group",
  "demographic parity": "the class is predicted equally often",
  "equal opportunity": "equal true-positive rates",
  "equal accuracy": "equal accuracy",
};

/** What thresholds do by every strategy, while the cost of a false positive is changed. */
export function Thresholds({ positive, group }: { positive: number; group: string }) {
  const [exponent, setExponent] = useState(0);
  const [custom, setCustom] = useState<Record<string, number>>({});
  const [chosen, setChosen] = useState("single");
  const cost = Number((10 ** exponent).toPrecision(2));
  const { answer, error } = useAnswer(positive, group, cost, custom);
  const name = useId();
  const result = answer?.strategies.find(({ strategy }) => strategy === chosen) ?? answer?.strategies[0];
  return (
    <section aria-labelledby={`${name}-title`}>
      <h2 id={`${name}-title`}>Thresholds</h2>
      <p className="quiet">
        The class is predicted where its probability reaches the threshold. Thresholds are chosen on one half of the images and
        measured on the other, in turn, so no number is measured where it was fitted.
      </p>
      <label className="field cost">
        <span>
          A false positive costs <strong>{cost}</strong> times a false negative
        </span>
        <input
          type="range"
          min={-1}
          max={1}
          step={0.05}
          value={exponent}
          aria-valuetext={`${cost} times`}
          onChange={(event) => setExponent(Number(event.target.value))}
        />
      </label>
      {error && <p role="alert">{error}</p>}
      {answer?.notes.map((note) => (
        <p key={note} className="quiet">
          {note}
        </p>
      ))}
      {answer && result && (
        <>
          <StrategyTable answer={answer} chosen={result.strategy} onChoose={setChosen} />
          <h3>
            {result.strategy}: {MEANING[result.strategy]}
          </h3>
          <GroupTable
            groups={result.groups}
            threshold={(group) =>
              result.strategy === "custom" ? (
                <label className="field own">
                  <span className="only-read">Threshold of {group.group}</span>
                  <input
                    type="range"
                    min={0}
                    max={1}
                    step={0.01}
                    value={custom[group.group] ?? 0.5}
                    onChange={(event) => setCustom({ ...custom, [group.group]: Number(event.target.value) })}
                  />
                  {(custom[group.group] ?? 0.5).toFixed(2)}
                </label>
              ) : group.threshold === null ? (
                "never predicted"
              ) : (
                group.threshold.toFixed(3)
              )
            }
          />
          {result.groups.length > 1 && result.strategy !== "single" && (
            <p className="quiet">
              Thresholds by group use the group at prediction time: it must be known for every image, and the law restricts this
              in many places.
            </p>
          )}
        </>
      )}
    </section>
  );
}

function useAnswer(positive: number, group: string, cost: number, custom: Record<string, number>) {
  const [state, setState] = useState<{ answer?: ThresholdAnswer; error: string }>({ error: "" });
  useEffect(() => {
    const control = new AbortController();
    const ask = () => {
      const body = { positive, column: group || null, cost_ratio: cost, custom };
      tell<ThresholdAnswer>("POST", "/data/thresholds", body, control.signal).then(
        (answer) => setState({ answer, error: "" }),
        (problem: Error) => control.signal.aborted || setState({ error: problem.message }),
      );
    };
    const timer = setTimeout(ask, PAUSE);
    return () => (clearTimeout(timer), control.abort());
  }, [positive, group, cost, custom]);
  return state;
}

interface StrategyProps {
  answer: ThresholdAnswer;
  chosen: string;
  onChoose: (strategy: string) => void;
}

function StrategyTable({ answer, chosen, onChoose }: StrategyProps) {
  const name = useId();
  return (
    <div className="scroll" role="region" aria-label="Strategies" tabIndex={0}>
      <table className="data strategies" aria-live="polite">
        <thead>
          <tr>
            <th scope="col">strategy</th>
            <th scope="col">accuracy</th>
            <th scope="col">cost per image</th>
            <th scope="col">largest gap: predicted as the class</th>
            <th scope="col">largest gap: true-positive rate</th>
            <th scope="col">largest gap: accuracy</th>
          </tr>
        </thead>
        <tbody>
          {answer.strategies.map((result) => (
            <tr key={result.strategy}>
              <th scope="row">
                <label>
                  <input type="radio" name={name} checked={result.strategy === chosen} onChange={() => onChoose(result.strategy)} />{" "}
                  {result.strategy}
                </label>
              </th>
              <td>{shareText(result.accuracy)}</td>
              <td>
                {formatNumber(result.cost.value)} ({formatInterval("number", result.cost.low, result.cost.high)})
              </td>
              <td>{gapText(result, "selection")}</td>
              <td>{gapText(result, "true_positive")}</td>
              <td>{gapText(result, "accuracy")}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export const shareText = ({ value, low, high }: Share) =>
  value === null ? "–" : `${formatShare(value)} (${formatInterval("share", low, high)})`;

function gapText({ groups }: StrategyResult, rate: "selection" | "true_positive" | "accuracy"): string {
  const values = groups.map((group) => group[rate].value).filter((value) => value !== null);
  return values.length < 2 ? "–" : `${(100 * (Math.max(...values) - Math.min(...values))).toFixed(0)} points`;
}

interface GroupProps {
  groups: readonly GroupRates[];
  threshold?: (group: GroupRates) => React.ReactNode;
}

/** The rates of each group, with intervals. */
export function GroupTable({ groups, threshold }: GroupProps) {
  return (
    <div className="scroll" role="region" aria-label="Rates by group" tabIndex={0}>
      <table className="data" aria-live="polite">
        <thead>
          <tr>
            <th scope="col">group</th>
            {threshold && <th scope="col">threshold</th>}
            <th scope="col">images</th>
            <th scope="col">of the class</th>
            <th scope="col">accuracy</th>
            <th scope="col">predicted as the class</th>
            <th scope="col">true-positive rate</th>
            <th scope="col">false-positive rate</th>
          </tr>
        </thead>
        <tbody>
          {groups.map((group) => (
            <tr key={group.group}>
              <th scope="row">
                {group.group}
                {!group.judged && <span className="quiet"> (too few to judge)</span>}
              </th>
              {threshold && <td>{threshold(group)}</td>}
              <td>{group.images}</td>
              <td>{group.positives}</td>
              <td>{shareText(group.accuracy)}</td>
              <td>{shareText(group.selection)}</td>
              <td>{shareText(group.true_positive)}</td>
              <td>{shareText(group.false_positive)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
