import { useEffect, useRef } from "react";

/** Keyboard shortcuts of a page, except while the user types. */
export function useKeys(keys: Record<string, () => void>) {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTyping(event)) return;
      const call = latest.current[event.key];
      if (!call) return;
      event.preventDefault();
      call();
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, []);
}

function isTyping(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement;
  return ["INPUT", "SELECT", "TEXTAREA"].includes(target.tagName) && event.key !== "Escape";
}
