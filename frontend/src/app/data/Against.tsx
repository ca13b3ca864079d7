import { type ReactNode, useMemo } from "react";
import { STATIC } from "../ask";
import { FactSelect } from "./FactSelect";
import { type Images, labelled } from "./table";
import type { Change, View } from "./view";

interface Props {
  images: Images;
  view: View;
  change: Change;
  /** The choice of no groups. */
  none: string;
  children?: ReactNode;
}

/** The class of the view, or the one with most labelled images. */
export function useClass(images: Images, view: View): number {
  const most = useMemo(() => [...labelled(images)].sort((a, b) => b[1] - a[1] || a[0] - b[0])[0]?.[0] ?? 0, [images]);
  return view.class >= 0 && view.class < images.classes.length ? view.class : most;
}

/** A choice of the class that is compared with the rest, and of the groups. */
export function Against({ images, view, change, none, children }: Props) {
  const chosen = useClass(images, view);
  const counts = useMemo(() => labelled(images), [images]);
  const known = images.classes.map((name, index) => ({ name, index, count: counts.get(index) ?? 0 }));
  return (
    <div className="controls">
      <label className="field">
        <span>Class, against the rest</span>
        <select value={chosen} onChange={(event) => change({ class: Number(event.target.value) })}>
          <Classes title="With labelled images" classes={known.filter(({ count }) => count > 0)} />
          <Classes title="Without labelled images" classes={known.filter(({ count }) => count === 0)} />
        </select>
      </label>
      {!STATIC && (
        <FactSelect
          label="Groups"
          images={images}
          value={view.group}
          none={none}
          groups
          onChange={(group) => change({ group, reference: "" })}
        />
      )}
      {children}
    </div>
  );
}

function Classes({ title, classes }: { title: string; classes: readonly { name: string; index: number }[] }) {
  if (classes.length === 0) return null;
  return (
    <optgroup label={title}>
      {classes.map(({ name, index }) => (
        <option key={index} value={index}>
          {name}
        </option>
      ))}
    </optgroup>
  );
}
