import { useState } from "react";
import { Link } from "wouter";
import type { Thumbnails } from "../../api";
import { Disclosure } from "../../Disclosure";
import { useAbout } from "../about";
import { fileUrl, STATIC } from "../ask";
import { type Images, inWords } from "./table";
import { Thumbnail } from "./Thumbnail";

const PIXELS = "the pixels";

interface Props {
  images: Images;
  thumbnails: Thumbnails;
  row: number;
  onClose: () => void;
}

/** One image: its picture as the model takes it, all that is known about it, and what can be done with it. */
export function Picked({ images, thumbnails, row, onClose }: Props) {
  const about = useAbout();
  const [missing, setMissing] = useState<number | null>(null);
  const small = Math.max(about.size?.[0] ?? 0, about.size?.[1] ?? 0) < 160;
  return (
    <section className="picked" aria-label="One image" aria-live="polite">
      <div className="selected-head">
        <h2>{images.paths[row]}</h2>
        <button type="button" className="link" onClick={onClose}>
          Close
        </button>
      </div>
      {missing === row || !(about.can_compute || STATIC) ? (
        <Thumbnail thumbnails={thumbnails} row={row} side={160} />
      ) : (
        <img
          className={small ? "picked-picture pixelated" : "picked-picture"}
          src={fileUrl(`/images/${row}/picture`)}
          alt={`${images.paths[row]}, as the model takes it`}
          onError={() => setMissing(row)}
        />
      )}
      {about.can_compute && !STATIC && (
        <p>
          <Link href={`/what-if?image=${row}`}>Edit this image</Link>
        </p>
      )}
      <Facts images={images} row={row} of={(origin) => origin !== PIXELS} />
      <Disclosure summary="Properties of its pixels">
        <Facts images={images} row={row} of={(origin) => origin === PIXELS} />
      </Disclosure>
    </section>
  );
}

function Facts({ images, row, of }: { images: Images; row: number; of: (origin: string | undefined) => boolean }) {
  return (
    <dl className="picked-facts">
      {[...images.facts.values()]
        .filter((fact) => of(images.origins.get(fact.name)))
        .map((fact) => (
          <div key={fact.name}>
            <dt>{fact.name}</dt>
            <dd>{inWords(fact, row)}</dd>
          </div>
        ))}
    </dl>
  );
}
