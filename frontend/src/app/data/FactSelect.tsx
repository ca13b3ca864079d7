import { useAbout } from "../about";
import { STATIC } from "../ask";
import type { Images } from "./table";

interface Props {
  label: string;
  images: Images;
  value: string;
  onChange: (name: string) => void;
  /** The name of the empty choice; without it there is none. */
  none?: string;
  /** Whether probabilities of classes and maps of layers can be chosen. */
  more?: boolean;
  /** Whether only categories and numbers that can be cut into groups make sense. */
  groups?: boolean;
}

const ORIGINS = ["the model", "your columns", "the pixels"];
const MANY = 12;
const EXPORTED = 20; // Of more classes a static copy has no probabilities.

/** A choice among all facts about images. */
export function FactSelect({ label, images, value, onChange, none, more = false, groups = false }: Props) {
  const about = useAbout();
  const probabilities = STATIC ? images.classes.length <= EXPORTED : about.can_compute;
  const of = (origin: string) => [...images.origins].filter(([name, from]) => from === origin && (!groups || fits(images, name)));
  return (
    <label className="field">
      <span>{label}</span>
      <select value={value} onChange={(event) => onChange(event.target.value)}>
        {none !== undefined && <option value="">{none}</option>}
        {ORIGINS.filter((origin) => of(origin).length > 0).map((origin) => (
          <optgroup key={origin} label={`From ${origin}`}>
            {of(origin).map(([name]) => (
              <option key={name}>{name}</option>
            ))}
          </optgroup>
        ))}
        {more && images.layers.length > 0 && (
          <optgroup label="Map of a layer">
            <option value="map:1">map, first axis</option>
            <option value="map:2">map, second axis</option>
          </optgroup>
        )}
        {more && probabilities && (
          <optgroup label="Probability of a class">
            {images.classes.map((name, index) => (
              <option key={index} value={`probability:${index}`}>
                {name}
              </option>
            ))}
          </optgroup>
        )}
      </select>
    </label>
  );
}

function fits(images: Images, name: string): boolean {
  const categories = images.facts.get(name)?.categories;
  return !categories || (categories.length > 1 && categories.length <= MANY);
}
