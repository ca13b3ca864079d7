import { useCallback, useEffect, useState } from "react";
import type { Verdict } from "./audit";
import { VERDICTS } from "./data";

/**
 * The linked finding and the filters. They are stored in the URL fragment, so that a finding or a filtered list can be
 * shared as a link: `#family.check`, `#?verdict=fail,warn&family=family`.
 */
export interface View {
  finding: string;
  verdicts: readonly Verdict[];
  families: readonly string[];
}

function readView(hash: string): View {
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
    return text; // A malformed link still shows the page.
  }
}

/** The view in the URL, and a setter that adds no entries to the browser history. */
export function useView(): [View, (view: View) => void] {
  const [view, setView] = useState(() => readView(location.hash));
  useEffect(() => {
    const onHashChange = () => setView(readView(location.hash));
    window.addEventListener("hashchange", onHashChange);
    return () => window.removeEventListener("hashchange", onHashChange);
  }, []);
  const change = useCallback((next: View) => {
    history.replaceState(null, "", writeView(next));
    setView(next);
  }, []);
  return [view, change];
}

/** Scroll to an element, open it if it is folded, and move the keyboard focus to it. */
export function goTo(id: string): void {
  const element = document.getElementById(id);
  element?.querySelector(":scope > details")?.setAttribute("open", "");
  element?.scrollIntoView();
  element?.focus({ preventScroll: true });
}
