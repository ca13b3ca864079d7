import { FactSelect } from "./FactSelect";
import type { Images } from "./table";
import type { Change, View } from "./view";

interface Props {
  images: Images;
  view: View;
  change: Change;
  /** What no groups are called; without it groups must be chosen. */
  none: string;
}

/** Which class is looked at against the rest, and by which groups. */
export function Against({ images, view, change, none }: Props) {
  return (
    <div className="controls">
      <label className="field">
        <span>Class, against the rest</span>
        <select value={view.class} onChange={(event) => change({ class: Number(event.target.value) })}>
          {images.classes.map((name, index) => (
            <option key={index} value={index}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <FactSelect
        label="Groups"
        images={images}
        value={view.group}
        none={none}
        groups
        onChange={(group) => change({ group, reference: "" })}
      />
    </div>
  );
}
