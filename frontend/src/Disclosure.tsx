import { useState, type ReactNode, type ToggleEvent } from "react";

interface Props {
  summary: string;
  className?: string;
  forceOpen?: boolean;
  children: ReactNode;
}

/** A collapsible section, forced open in print. Closed content is not rendered, which keeps long reports fast. */
export function Disclosure({ summary, className = "", forceOpen = false, children }: Props) {
  const details = useDetails(false, forceOpen);
  return (
    <details className={`disclosure ${className}`} {...details}>
      <summary>{summary}</summary>
      {details.open && <div className="disclosed">{children}</div>}
    </details>
  );
}

/** The properties of a details element that its reader opens and closes, and that print forces open. */
export function useDetails(startsOpen: boolean, forceOpen: boolean) {
  const [open, setOpen] = useState(startsOpen);
  const onToggle = (event: ToggleEvent<HTMLDetailsElement>) => !forceOpen && setOpen(event.currentTarget.open);
  return { open: open || forceOpen, onToggle };
}
