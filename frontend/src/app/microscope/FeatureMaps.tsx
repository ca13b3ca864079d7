import { useState } from "react";
import type { FeatureMap } from "../../api";
import { useAbout } from "../about";
import { address, tell, useAsk } from "../ask";
import { useJobs } from "../jobs";
import { ImageChoice } from "./LensView";
import { short } from "./places";

interface Props {
  layer: string;
  unit: number;
  row: number;
  onRow: (row: number) => void;
  pixels: "smooth" | "pixelated";
}

/** How the unit responds to an image of choice, at every position. */
export function FeatureMaps({ layer, unit, row, onRow, pixels }: Props) {
  const { can_compute } = useAbout();
  const { follow } = useJobs();
  const [running, setRunning] = useState(false);
  const { value: map, error, again } = useAsk<FeatureMap>(can_compute ? address("/microscope/map", { layer, row, unit }) : null);
  if (!can_compute) return null;
  const read = async () => {
    setRunning(true);
    follow(await tell<number>("POST", "/microscope/read"), (job) => {
      if (job.state === "done") again();
      if (["done", "failed", "cancelled"].includes(job.state)) setRunning(false);
    });
  };
  const unread = error.startsWith("The images have not been read");
  return (
    <section aria-labelledby="maps-title">
      <h2 id="maps-title">Feature map</h2>
      <ImageChoice row={row} onRow={onRow} />
      <div aria-live="polite">
        {error && (
          <p>
            {error}{" "}
            <button type="button" className="plain" disabled={running} onClick={() => void (unread ? read() : again())}>
              {running ? "Reading …" : unread ? "Read the images" : "Try again"}
            </button>
          </p>
        )}
        {map && (
          <div className="maps">
            <figure>
              <img src={map.image} alt={`Image ${map.row}: ${map.name}`} />
              <figcaption className="quiet">
                {map.name}
              </figcaption>
            </figure>
            <figure>
              <img src={map.map} className={pixels === "pixelated" ? "pixelated" : undefined} alt={`Response of unit ${unit}`} />
              <figcaption className="quiet">
                black: {short(map.low)}, white: {short(map.high)}; {map.grid[0]} x {map.grid[1]} positions
              </figcaption>
            </figure>
          </div>
        )}
      </div>
    </section>
  );
}
