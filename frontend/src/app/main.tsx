import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Route, Router, Switch } from "wouter";
import { useHashLocation } from "wouter/use-hash-location";
import { ROOT, STATIC } from "./ask";
import { JobsProvider } from "./jobs";
import { AttackLab } from "./pages/AttackLab";
import { Data } from "./pages/Data";
import { Findings } from "./pages/Findings";
import { Microscope } from "./pages/Microscope";
import { WhatIf } from "./pages/WhatIf";
import { Shell } from "./Shell";
import "../styles/base.css";
import "../styles/page.css";
import "../styles/finding.css";
import "../styles/evidence.css";
import "../styles/estimates.css";
import "../styles/tables.css";
import "../styles/curves.css";
import "../styles/pictures.css";
import "../styles/heatmaps.css";
import "../styles/world.css";
import "../styles/print.css";
import "./styles/app.css";
import "./styles/attack.css";
import "./styles/data.css";
import "./styles/microscope.css";
import "./styles/what-if.css";

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <Router base={ROOT} {...(STATIC ? { hook: useHashLocation } : {})}>
      <JobsProvider>
        <Shell>
          <Switch>
            <Route path="/" component={Findings} />
            <Route path="/attack" component={AttackLab} />
            <Route path="/data" component={Data} />
            <Route path="/m/*?" component={Microscope} />
            <Route path="/what-if" component={WhatIf} />
            {/* In a static copy the address of a finding is a fragment, as that of a page is. */}
            <Route>{STATIC ? <Findings /> : "There is no such page."}</Route>
          </Switch>
        </Shell>
      </JobsProvider>
    </Router>
  </StrictMode>,
);
