import type { ClassScore } from "../../api";
import { formatShare } from "../../drawing/format";

interface Props {
  title: string;
  scores: readonly ClassScore[];
  tracked?: number | null;
  onTrack?: (index: number) => void;
}

/** Classes with their probabilities, and what they were before the edits. */
export function Scores({ title, scores, tracked, onTrack }: Props) {
  return (
    <table className="scores">
      <caption>{title}</caption>
      <thead className="only-read">
        <tr>
          <th scope="col">Class</th>
          <th scope="col">Probability</th>
          <th scope="col">Unedited</th>
        </tr>
      </thead>
      <tbody>
        {scores.map((score) => (
          <tr key={score.index}>
            <th scope="row">
              {onTrack ? (
                <button type="button" className="link" aria-pressed={score.index === tracked} onClick={() => onTrack(score.index)}>
                  {score.name}
                </button>
              ) : (
                score.name
              )}
            </th>
            <td>
              <span className="bar-track" aria-hidden="true">
                <span className="bar-fill" style={{ width: `${100 * (score.after ?? 0)}%` }} />
                <span className="bar-mark" style={{ left: `${100 * (score.before ?? 0)}%` }} />
              </span>
              <strong>{formatShare(score.after)}</strong>
            </td>
            <td className="quiet">was {formatShare(score.before)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
