import type { FeatureMap } from "../../api";
import { formatNumber } from "../../drawing/format";
import { useAbout } from "../about";
import { address, useAsk } from "../ask";
import { useJob } from "../jobs";
import { ImageChoice } from "./LensView";

interface Props {
  layer: string;
  unit: number;
  row: number;
  onRow: (row: number) => void;
  pixels: "smooth" | "pixelated";
}

/** How the unit responds to a chosen image, at every position. */
export function FeatureMaps({ layer, unit, row, onRow, pixels }: Props) {
  const { can_compute } = useAbout();
  const { running, problem, start } = useJob();
  const { value: map, error, again } = useAsk<FeatureMap>(can_compute ? address("/microscope/map", { layer, row, unit }) : null);
  if (!can_compute) return null;
  const read = () => start("/microscope/read", undefined, again);
  const unread = error.startsWith("The images have not been read");
  return (
    <section aria-labelledby="maps-title">
      <h2 id="maps-title">Feature map</h2>
      <ImageChoice row={row} onRow={onRow} />
      <div aria-live="polite">
        {error && (
          <p>
            {error}{" "}
            <button type="button" className="plain" disabled={running} onClick={unread ? read : again}>
              {running ? "Reading …" : unread ? "Read the images" : "Try again"}
            </button>
          </p>
        )}
        {problem && <p role="alert">{problem}</p>}
        {map && (
          <div className="maps">
            <figure>
              <img src={map.image} alt={`Image ${map.row}: ${map.name}`} />
              <figcaption className="quiet">{map.name}</figcaption>
            </figure>
            <figure>
              <img src={map.map} className={pixels === "pixelated" ? "pixelated" : undefined} alt={`Response of unit ${unit}`} />
              <figcaption className="quiet">
                from {formatNumber(map.low)} (black) over red and yellow to {formatNumber(map.high)} (white); {map.grid[0]} x{" "}
                {map.grid[1]} positions
              </figcaption>
            </figure>
          </div>
        )}
      </div>
    </section>
  );
}
