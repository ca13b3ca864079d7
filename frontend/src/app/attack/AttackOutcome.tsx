import type { Curve } from "../../audit";
import { formatShare } from "../../drawing/format";

interface OutcomePicture {
  title: string;
  src: string;
  named: string;
  probability: number;
  goal: number;
  note: string;
  side: number;
}

export interface Outcome {
  claim: string;
  columns: number;
  pictures: OutcomePicture[];
  curves: Curve[];
}

/** The result of an attack. Every picture is a PNG file, and its prediction is that of the file. */
export function AttackOutcome({ outcome }: { outcome: Outcome }) {
  return (
    <>
      <p role="status" className="claim">
        {outcome.claim}
      </p>
      <div className="outcome" style={{ gridTemplateColumns: `repeat(${outcome.columns}, minmax(0, 14rem))` }}>
        {outcome.pictures.map((picture, i) => (
          <figure key={i}>
            <a href={picture.src} download={`${fileName(picture, i)}.png`} title="Save as PNG">
              <img
                src={picture.src}
                alt={describe(picture)}
                className={picture.side < 96 ? "lab-picture pixelated" : "lab-picture"}
              />
            </a>
            <figcaption>
              {picture.title}
              {picture.named && (
                <strong>
                  {picture.named} {formatShare(picture.probability)}
                </strong>
              )}
              {picture.note && <span className="quiet">{picture.note}</span>}
            </figcaption>
          </figure>
        ))}
      </div>
      <p className="quiet">A click on a picture saves it as PNG; the predictions are those of the files.</p>
    </>
  );
}

function describe(picture: OutcomePicture): string {
  return picture.named ? `${picture.title}: predicted as ${picture.named}` : picture.title;
}

function fileName(picture: OutcomePicture, place: number): string {
  return `${place + 1}-${picture.title}-${picture.named}`.replace(/[^A-Za-z0-9]+/g, "-").replace(/-$/, "");
}
