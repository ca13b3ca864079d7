/** From findings to what they are about, and back. */
import type { ReactNode } from "react";
import { Link } from "wouter";
import type { Mention } from "../api";
import { VerdictBadge } from "../VerdictBadge";
import { useAbout } from "./about";
import { STATIC, useAsk } from "./ask";
import { toSearch, fromSearch } from "./data/view";
import type { Links } from "../links";
import { layerPath, unitPath } from "./microscope/places";

const CLASSES = new Set(["class", "true class"]);
const UNIT = /^unit (\d+) of layer (.+)$/;

/** The links of a report about this model. */
export function linksFor(model: string): Links {
  return {
    image: (row) => (
      <Link className="see" href={`/what-if?image=${row}`}>
        Edit this image
      </Link>
    ),
    cell: (column, text) => {
      const unit = UNIT.exec(text);
      if (unit) return <Link href={unitPath(model, unit[2]!, Number(unit[1]))}>{text}</Link>;
      if (column === "layer") return <Link href={layerPath(model, text)}>{text}</Link>;
      if (CLASSES.has(column)) return <Link href={`/data${toSearch({ ...fromSearch(""), where: [["class", text]] })}`}>{text}</Link>;
      return text;
    },
  };
}

/** The findings that show an image or name a layer. */
export function FindingsAbout({ row, layer }: { row?: number; layer?: string }) {
  const { has_audit } = useAbout();
  const { value } = useAsk<Mention[]>(has_audit ? "/audit/mentions" : null);
  const about = (value ?? []).filter((found) =>
    row === undefined ? found.layers.includes(layer ?? "") : found.images.includes(row),
  );
  if (about.length === 0) return null;
  return (
    <aside className="findings-about">
      <h2>Findings about this {row === undefined ? "layer" : "image"}</h2>
      <ul>
        {about.map((found) => (
          <li key={found.id}>
            <VerdictBadge verdict={found.verdict} /> <ToFinding id={found.id}>{found.claim}</ToFinding>
          </li>
        ))}
      </ul>
    </aside>
  );
}

/** A finding's address is a fragment; in a static copy so is the address of a page. */
function ToFinding({ id, children }: { id: string; children: ReactNode }) {
  const fragment = `#${encodeURIComponent(id)}`;
  return STATIC ? <a href={fragment}>{children}</a> : <Link href={`/${fragment}`}>{children}</Link>;
}
