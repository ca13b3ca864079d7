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
    <section className="scores">
      <h3>{title}</h3>
      <ul>
        {scores.map((score) => (
          <li key={score.index}>
            {onTrack ? (
              <button type="button" className="link" aria-pressed={score.index === tracked} onClick={() => onTrack(score.index)}>
                {score.name}
              </button>
            ) : (
              <span>{score.name}</span>
            )}
            <strong>{shown(score.after)}</strong>
            <span className="quiet">was {shown(score.before)}</span>
            <span className="bar-track" aria-hidden="true">
              <span className="bar-fill" style={{ width: `${100 * (score.after ?? 0)}%` }} />
              <span className="bar-mark" style={{ left: `${100 * (score.before ?? 0)}%` }} />
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

const LEAST = 1e-4;

/** A short text for a probability. */
function shown(share: number | null): string {
  if (share !== null && share < LEAST) return `<${formatShare(LEAST)}`;
  return share !== null && share > 1 - LEAST && share < 1 ? `>${formatShare(1 - LEAST)}` : formatShare(share);
}
