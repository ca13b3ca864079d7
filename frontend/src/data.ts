import type { Audit, Finding, Verdict } from "./audit";

/** Read the audit that Python wrote into the page. */
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

/** One entry per finding, in the order of the audit: worst first. */
export function entriesOf(audit: Audit): Entry[] {
  const seen = new Map<string, number>();
  return audit.findings.map((finding) => {
    const count = (seen.get(finding.check) ?? 0) + 1;
    seen.set(finding.check, count);
    return { id: count === 1 ? finding.check : `${finding.check}-${count}`, family: familyOf(finding.check), finding };
  });
}

export const COMMON_TITLE = "True of nearly every network that was not trained against it";
export const COMMON_NOTE =
  "These problems are real, but they say little about this network in particular: compare its values with those of known " +
  "networks, which are shown with them.";

/** Entries about this network, and those about problems of nearly every network. */
export function apart(entries: readonly Entry[]): { own: Entry[]; common: Entry[] } {
  return { own: entries.filter((e) => !e.finding.common), common: entries.filter((e) => e.finding.common) };
}

/** Whether a finding is open from the start; the others, and problems of nearly every network, are folded to one line. */
export function needsAttention({ finding }: Entry): boolean {
  return !finding.common && ["fail", "error", "warn"].includes(finding.verdict);
}

/** The family of a check: the part of its name before the dot. */
function familyOf(check: string): string {
  return check.split(".", 1)[0] ?? check;
}

/** All verdicts, worst first, for filters and explanations. */
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
  warn: "A possible problem: the effect exceeds the warning threshold, including its interval.",
  inconclusive: "The images do not allow a verdict: there are too few of them, or the interval is too wide.",
  pass: "No problem was found in these images. This does not guarantee anything for other images.",
  skipped: "The check did not run: it needs something that the model, the images or the options do not provide.",
};

/** The number of items for each key. */
export function countBy<T, K>(items: readonly T[], key: (item: T) => K): Map<K, number> {
  const counts = new Map<K, number>();
  for (const item of items) counts.set(key(item), (counts.get(key(item)) ?? 0) + 1);
  return counts;
}
