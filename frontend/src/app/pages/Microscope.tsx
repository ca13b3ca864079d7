import { Link, useRoute } from "wouter";
import { useAbout } from "../about";
import { GraphPage } from "../microscope/GraphPage";
import { LayerPage } from "../microscope/LayerPage";
import { layerOf } from "../microscope/places";
import { UnitPage } from "../microscope/UnitPage";

/** The network, a layer of it, or a unit, as the address says. */
export function Microscope() {
  const about = useAbout();
  const [isLayer, layer] = useRoute("/m/:model/:layer");
  const [isUnit, unit] = useRoute("/m/:model/:layer/:unit");
  const place = isUnit ? unit : isLayer ? layer : null;
  if (!place) return <GraphPage />;
  if (place.model !== about.model_id) {
    return (
      <section>
        <h1>This address is for another model</h1>
        <p>
          It names the model {place.model}, but this page shows {about.model} ({about.model_id}).{" "}
          <Link href="/m">See its layers.</Link>
        </p>
      </section>
    );
  }
  const name = layerOf(place.layer);
  if (!isUnit) return <LayerPage key={name} layer={name} />;
  if (!/^\d{1,9}$/.test(unit.unit)) return <p role="alert">{unit.unit} is not the number of a unit.</p>;
  return <UnitPage layer={name} unit={Number(unit.unit)} />;
}
