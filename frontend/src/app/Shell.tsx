import { type ReactNode, useEffect } from "react";
import { Link, useLocation } from "wouter";
import type { About } from "../api";
import { AboutContext } from "./about";
import { STATIC, useAsk } from "./ask";
import { JobTray } from "./jobs";

const PAGES: readonly [string, string][] = [
  ["/", "Findings"],
  ["/m", "Microscope"],
  ["/what-if", "What if"],
  ["/data", "Data and fairness"],
  ["/attack", "Attack lab"],
];

/** The frame of all pages: the model and images, links to the pages, and the jobs that run. */
export function Shell({ children }: { children: ReactNode }) {
  const { value: about, error } = useAsk<About>("/about");
  const [here] = useLocation();
  const page = PAGES.find(([path]) => isAt(here, path))?.[1];
  const title = [page, about?.model, "deeptroubles"].filter(Boolean).join(" · ");
  useEffect(() => void (document.title = title), [title]);
  return (
    <>
      <a className="skip" href="#content" onClick={toContent}>
        Skip to content
      </a>
      <header className="bar">
        <Link href="/" className="bar-name">
          deeptroubles
        </Link>
        <nav aria-label="Pages">
          {PAGES.map(([path, name]) => (
            <Link key={path} href={path} aria-current={isAt(here, path) ? "page" : undefined}>
              {name}
            </Link>
          ))}
        </nav>
        {about && (
          <p className="bar-about">
            {about.model} <span className="quiet">on {about.images}</span>
          </p>
        )}
      </header>
      <main id="content" tabIndex={-1} className="content">
        {error && <p role="alert">{error}</p>}
        {about && !about.can_compute && !STATIC && (
          <p className="notice">This page shows what the run folder holds; nothing can be computed without the model.</p>
        )}
        {about && <AboutContext value={about}>{children}</AboutContext>}
      </main>
      <JobTray />
    </>
  );
}

function isAt(here: string, path: string): boolean {
  return path === "/" ? here === "/" : here === path || here.startsWith(`${path}/`);
}

function toContent(event: { preventDefault: () => void }) {
  event.preventDefault();
  document.getElementById("content")?.focus();
}
