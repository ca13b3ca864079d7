import { useState } from "react";
import { Link, useLocation } from "wouter";
import type { About, Graph, LayerNode } from "../../api";
import { useAbout } from "../about";
import { formatCount } from "../../drawing/format";
import { useAsk } from "../ask";
import { COLORS, NetworkGraph } from "./NetworkGraph";
import { layerPath } from "./places";
import { useKeys } from "./useKeys";

/** The whole network: its graph, and a list of its layers. */
export function GraphPage() {
  const about = useAbout();
  const { value: graph, error, again } = useAsk<Graph>("/microscope/graph");
  const [wanted, setWanted] = useState("");
  const [, go] = useLocation();
  useKeys({ "/": () => document.getElementById("find-layer")?.focus() });
  if (error) {
    return (
      <p role="alert">
        {error}{" "}
        <button type="button" className="plain" onClick={again}>
          Try again
        </button>
      </p>
    );
  }
  if (!graph) return <p role="status">Reading the network …</p>;
  const found = graph.layers.filter((layer) => layer.name.toLowerCase().includes(wanted.toLowerCase()));
  return (
    <section className="microscope">
      <h1>Microscope</h1>
      <p className="quiet">
        {formatCount(graph.layers.length, "layer")} of {about.model}, {formatCount(units(graph.layers), "unit")} in all. Choose a layer to
        see what its units respond to.
      </p>
      {graph.edges.length === 0 && (
        <p className="notice">The connections between layers are not known; the list shows them in the order of computation.</p>
      )}
      <div className={graph.edges.length ? "graph-and-list" : undefined}>
        {graph.edges.length > 0 && (
          <div>
            <NetworkGraph graph={graph} onChoose={(layer) => go(layerPath(about.model_id, layer))} />
            <Legend layers={graph.layers} />
          </div>
        )}
        <div>
          <label className="field">
            <span>
              Find a layer <kbd>/</kbd>
            </span>
            <input
              id="find-layer"
              type="search"
              value={wanted}
              onChange={(event) => setWanted(event.target.value)}
              onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
            />
          </label>
          <p role="status" className="only-read">
            {formatCount(found.length, "layer")} found
          </p>
          <LayerList layers={found} />
          {graph.others.length > 0 && (
            <>
              <h2>Other layers in the run folder</h2>
              <LayerList layers={graph.others} />
            </>
          )}
        </div>
      </div>
    </section>
  );
}

const units = (layers: readonly LayerNode[]) => layers.reduce((total, layer) => total + layer.units, 0);

function LayerList({ layers }: { layers: readonly LayerNode[] }) {
  const { model_id, size } = useAbout();
  return (
    <ol className="layers">
      {layers.map((layer) => (
        <li key={layer.name}>
          <Link href={layerPath(model_id, layer.name)}>{layer.name}</Link>
          <span className="quiet">{describe(layer, size)}</span>
          {layer.kept.includes("dataset") && <span className="kept">analyzed</span>}
        </li>
      ))}
    </ol>
  );
}

/** What is known about a layer, in words. */
export function describe(layer: LayerNode, size: About["size"]): string {
  const parts = [layer.kind, formatCount(layer.units, "unit")];
  if (layer.grid && layer.grid[0] * layer.grid[1] > 1) parts.push(`${layer.grid[0]} x ${layer.grid[1]} positions`);
  const [height, width] = layer.receptive_field ?? [0, 0];
  const whole = size && height >= size[0] && width >= size[1];
  if (height) parts.push(whole ? "receptive field: the whole image" : `receptive field ${height} x ${width} pixels`);
  return parts.filter(Boolean).join(", ");
}

function Legend({ layers }: { layers: readonly LayerNode[] }) {
  const kinds = [...new Set(layers.map((layer) => layer.kind))].filter(Boolean);
  return (
    <ul className="network-legend">
      {kinds.map((kind) => (
        <li key={kind}>
          <span style={{ background: `var(--${COLORS[kind] ?? "series-6"})` }} /> {kind === "sum" ? "sum (residual)" : kind}
        </li>
      ))}
      <li className="quiet">Bar: number of units</li>
    </ul>
  );
}
