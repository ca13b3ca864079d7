import { useState, type ReactNode } from "react";

interface Props {
  summary: string;
  className?: string;
  forceOpen?: boolean;
  children: ReactNode;
}

/** A collapsible section, forced open in print. Closed content is not rendered, which keeps long reports fast. */
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
