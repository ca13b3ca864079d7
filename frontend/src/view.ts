import { useCallback, useEffect, useState } from "react";
import type { Verdict } from "./audit";
import { VERDICTS } from "./data";

/**
 * What the reader looks at. It lives in the address after `#`, so that a link to a finding, or to all warnings of one
 * family, can be sent: `#performance.accuracy`, `#?verdict=fail,warn&family=reliance`.
 */
export interface View {
  finding: string;
  verdicts: readonly Verdict[];
  families: readonly string[];
}

export function readView(hash: string): View {
  const [finding = "", query = ""] = hash.replace(/^#/, "").split("?", 2);
  const parameters = new URLSearchParams(query);
  const list = (name: string) => (parameters.get(name) ?? "").split(",").filter(Boolean);
  return {
    finding: decode(finding),
    verdicts: VERDICTS.filter((verdict) => list("verdict").includes(verdict)),
    families: list("family"),
  };
}

export function writeView({ finding, verdicts, families }: View): string {
  const parts = [
    verdicts.length > 0 && `verdict=${verdicts.join(",")}`,
    families.length > 0 && `family=${families.map(encodeURIComponent).join(",")}`,
  ].filter(Boolean);
  return `#${encodeURIComponent(finding)}${parts.length > 0 ? `?${parts.join("&")}` : ""}`;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // A mangled link is no reason to show nothing.
  }
}

/** The view in the address, and a way to change it that leaves the reader's Back button alone. */
export function useView(): [View, (view: View) => void] {
  const [view, setView] = useState(() => readView(location.hash));
  useEffect(() => {
    const follow = () => setView(readView(location.hash));
    window.addEventListener("hashchange", follow);
    return () => window.removeEventListener("hashchange", follow);
  }, []);
  const change = useCallback((next: View) => {
    history.replaceState(null, "", writeView(next));
    setView(next);
  }, []);
  return [view, change];
}

/** Bring a part of the page into sight and put the keyboard there. */
export function goTo(id: string): void {
  const part = document.getElementById(id);
  part?.scrollIntoView();
  part?.focus({ preventScroll: true });
}
