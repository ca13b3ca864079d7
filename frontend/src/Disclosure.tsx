import { useState, type ReactNode } from "react";

interface Props {
  summary: string;
  className?: string;
  forceOpen?: boolean;
  children: ReactNode;
}

/** A part that opens on request; forced open on paper. What is closed is not drawn, which keeps long reports quick. */
export function Disclosure({ summary, className = "", forceOpen = false, children }: Props) {
  const [open, setOpen] = useState(false);
  return (
    <details
      className={`disclosure ${className}`}
      open={open || forceOpen}
      onToggle={(event) => !forceOpen && setOpen(event.currentTarget.open)}
    >
      <summary>{summary}</summary>
      {(open || forceOpen) && <div className="disclosed">{children}</div>}
    </details>
  );
}
