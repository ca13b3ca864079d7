import { flushSync } from "react-dom";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { readAudit } from "./data";
import { readTour, TourPage } from "./tour/TourPage";
import "./styles/base.css";
import "./styles/page.css";
import "./styles/finding.css";
import "./styles/evidence.css";
import "./styles/estimates.css";
import "./styles/tables.css";
import "./styles/curves.css";
import "./styles/pictures.css";
import "./styles/heatmaps.css";
import "./styles/world.css";
import "./styles/tour.css";
import "./styles/print.css";

// All at once, so that a page that is printed as soon as it has loaded is complete.
const tour = readTour();
const page = tour ? <TourPage tour={tour} /> : <App audit={readAudit()} />;
flushSync(() => createRoot(document.getElementById("root")!).render(page));
