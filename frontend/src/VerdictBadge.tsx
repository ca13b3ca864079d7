import type { ReactNode } from "react";
import type { Verdict } from "./audit";
import { VERDICT_WORDS } from "./data";

// Each verdict has its own outline and symbol, so that it can be recognized without color.
const SHAPES: Record<Verdict, ReactNode> = {
  fail: (
    <>
      <path className="solid" d="M5.2 1h5.6L15 5.2v5.6L10.8 15H5.2L1 10.8V5.2z" />
      <path className="symbol" d="M5.4 5.4l5.2 5.2m0-5.2l-5.2 5.2" />
    </>
  ),
  error: (
    <>
      <rect className="solid" x="1.5" y="1.5" width="13" height="13" rx="1.5" />
      <path className="symbol" d="M8 4.4v4.4M8 11.2v.4" />
    </>
  ),
  warn: (
    <>
      <path className="solid" d="M8 1.2L15.4 14.6H.6z" />
      <path className="symbol" d="M8 6v4M8 12.1v.3" />
    </>
  ),
  inconclusive: (
    <>
      <circle className="hollow" cx="8" cy="8" r="6.4" />
      <path className="symbol outlined" d="M6 6.3a2 2 0 1 1 2.7 1.9c-.5.2-.7.5-.7 1M8 11.6v.2" />
    </>
  ),
  pass: (
    <>
      <circle className="solid" cx="8" cy="8" r="7" />
      <path className="symbol" d="M4.7 8.3l2.3 2.3 4.3-4.8" />
    </>
  ),
  skipped: (
    <>
      <circle className="hollow dashed" cx="8" cy="8" r="6.4" />
      <path className="symbol outlined" d="M5 8h6" />
    </>
  ),
};

export function VerdictIcon({ verdict }: { verdict: Verdict }) {
  return (
    <svg className={`verdict-icon verdict-${verdict}`} viewBox="0 0 16 16" aria-hidden="true">
      {SHAPES[verdict]}
    </svg>
  );
}

export function VerdictBadge({ verdict }: { verdict: Verdict }) {
  return (
    <span className={`badge verdict-${verdict}`}>
      <VerdictIcon verdict={verdict} />
      <span className="badge-word">{VERDICT_WORDS[verdict]}</span>
    </span>
  );
}
