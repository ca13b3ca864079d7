import { useMemo } from "react";
import { difference, toUrl } from "./pixels";

/** The image before and after the edits, and the difference. */
export function Compare({ before, after }: { before: ImageData; after: ImageData }) {
  const sources = useMemo(() => {
    if (before.width !== after.width || before.height !== after.height) return null;
    const { image, most } = difference(before, after);
    return { before: toUrl(before), after: toUrl(after), change: toUrl(image), most };
  }, [before, after]);
  if (!sources) return null;
  const small = before.width < 128 ? "pixelated" : "";
  return (
    <div className="compare">
      <figure>
        <img src={sources.before} alt="The image before the edits" className={small} />
        <figcaption>Before</figcaption>
      </figure>
      <figure>
        <img src={sources.after} alt="The image after the edits" className={small} />
        <figcaption>After</figcaption>
      </figure>
      <figure>
        <img src={sources.change} alt="The absolute difference, brightened" className={small} />
        <figcaption>Difference{sources.most ? `, brightened ${(255 / sources.most).toFixed(1)} times` : ": none"}</figcaption>
      </figure>
    </div>
  );
}
