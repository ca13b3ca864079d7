import type { Audit, Finding, Verdict } from "./audit";

/** Read the audit that Python put into the page. */
export function readAudit(): Audit {
  const inlined = document.getElementById("audit")?.textContent;
  if (!inlined) throw new Error("This page contains no audit: it is the empty bundle, not a report.");
  return JSON.parse(inlined) as Audit;
}

/** A finding with the id that links point to. A check can have several findings, so the id may end in a number. */
export interface Entry {
  id: string;
  family: string;
  finding: Finding;
}

export function entriesOf(audit: Audit): Entry[] {
  const seen = new Map<string, number>();
  return audit.findings.map((finding) => {
    const count = (seen.get(finding.check) ?? 0) + 1;
    seen.set(finding.check, count);
    return { id: count === 1 ? finding.check : `${finding.check}-${count}`, family: familyOf(finding.check), finding };
  });
}

/** The family of a check is what its name says before the dot. */
export function familyOf(check: string): string {
  return check.split(".", 1)[0] ?? check;
}

/** Worst first, the order in which verdicts are shown everywhere. */
export const VERDICTS: readonly Verdict[] = ["fail", "error", "warn", "inconclusive", "pass", "skipped"];

export const VERDICT_WORDS: Record<Verdict, string> = {
  fail: "Fail",
  error: "Error",
  warn: "Warning",
  inconclusive: "Inconclusive",
  pass: "Pass",
  skipped: "Skipped",
};

export const VERDICT_MEANINGS: Record<Verdict, string> = {
  fail: "A problem was found: the effect exceeds the threshold, including its interval.",
  error: "The check crashed on this model or these images. It gives no information about the model.",
  warn: "A possible problem: the effect is large enough to look at, but below the threshold for a failure.",
  inconclusive: "The images are not sufficient for a verdict: there are too few of them, or the interval is too wide.",
  pass: "No problem was found in these images. This does not guarantee anything for other images.",
  skipped: "The check did not run, because it needs something that was not given.",
};

/** Count the items by the key that each has. */
export function countBy<T, K>(items: readonly T[], key: (item: T) => K): Map<K, number> {
  const counts = new Map<K, number>();
  for (const item of items) counts.set(key(item), (counts.get(key(item)) ?? 0) + 1);
  return counts;
}
