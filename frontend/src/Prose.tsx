import type { ReactNode } from "react";

/** Plain text as paragraphs and "- " lists. It is never parsed as HTML. */
export function Prose({ text }: { text: string }) {
  const blocks = text.trim().split(/\n\s*\n/).filter(Boolean);
  return <>{blocks.flatMap((block, i) => parts(block).map((part, j) => <Block key={`${i}.${j}`} lines={part} />))}</>;
}

const isItem = (line: string) => /^\s*[-*] /.test(line);

/** Split a block at its first "- " line, so that a sentence can be followed directly by a list. */
function parts(block: string): string[][] {
  const lines = block.split("\n");
  const first = lines.findIndex(isItem);
  return first <= 0 ? [lines] : [lines.slice(0, first), lines.slice(first)];
}

function Block({ lines }: { lines: string[] }) {
  if (!isItem(lines[0] ?? "")) return <p>{withLinks(lines.join(" "))}</p>;
  const items: string[] = [];
  for (const line of lines) {
    if (isItem(line)) items.push(line.replace(/^\s*[-*] /, ""));
    else items.push(`${items.pop() ?? ""} ${line.trim()}`);
  }
  return (
    <ul>
      {items.map((item, i) => (
        <li key={i}>{withLinks(item)}</li>
      ))}
    </ul>
  );
}

/** Turn URLs into links. Punctuation that ends a sentence is not part of the URL. */
function withLinks(text: string): ReactNode[] {
  return text.split(/(https?:\/\/[^\s<>"]*[^\s<>".,;:)\]])/).map((piece, i) =>
    i % 2 === 0 ? (
      piece
    ) : (
      <a key={i} href={piece} rel="noreferrer" target="_blank">
        {piece}
      </a>
    ),
  );
}
