import { Graph as Dagre, layout } from "@dagrejs/dagre";
import { useEffect, useMemo, useRef, useState } from "react";
import type { Graph, LayerNode } from "../../api";

const LETTER = 6.4;
const BAR = 150;
const HEIGHT = 32;
const STEP = 1.25;
export const COLORS: Record<string, string> = {
  convolution: "series-1",
  "depthwise convolution": "series-3",
  linear: "series-2",
  sum: "series-4",
  "": "series-6",
};

interface Props {
  graph: Graph;
  onChoose: (layer: string) => void;
}

/** The network from top to bottom: a bar for each layer, as wide as it has units. The list of layers has the same content for screen readers. */
export function NetworkGraph({ graph, onChoose }: Props) {
  const [zoom, setZoom] = useState(1);
  const frame = useRef<HTMLDivElement>(null);
  const drawn = useMemo(() => place(graph), [graph]);
  const fit = () => {
    const box = frame.current;
    if (box) setZoom(Math.min(1, box.clientWidth / drawn.width, box.clientHeight / drawn.height));
  };
  useEffect(() => {
    const box = frame.current;
    if (!box) return;
    setZoom(Math.min(1, box.clientWidth / drawn.width));
    const wheel = (event: WheelEvent) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      setZoom((now) => clamp(event.deltaY < 0 ? now * STEP : now / STEP));
    };
    box.addEventListener("wheel", wheel, { passive: false });
    return () => box.removeEventListener("wheel", wheel);
  }, [drawn]);
  return (
    <div className="network">
      <div className="network-tools" role="group" aria-label="Zoom">
        <button type="button" className="plain" onClick={() => setZoom((now) => clamp(now / STEP))} aria-label="Smaller">
          −
        </button>
        <button type="button" className="plain" onClick={() => setZoom((now) => clamp(now * STEP))} aria-label="Larger">
          +
        </button>
        <button type="button" className="plain" onClick={fit}>
          Fit
        </button>
      </div>
      <div className="network-frame" ref={frame} tabIndex={0} role="region" aria-label="Graph of the network">
        <svg
          width={drawn.width * zoom}
          height={drawn.height * zoom}
          viewBox={`0 0 ${drawn.width} ${drawn.height}`}
          aria-hidden="true"
        >
          {drawn.edges.map((points, number) => (
            <path key={number} className="network-edge" d={points} />
          ))}
          {drawn.nodes.map(({ x, y, bar, layer }) => (
            <g key={layer.name} className="network-node" onClick={() => onChoose(layer.name)}>
              <title>{`${layer.name}: ${layer.units} units`}</title>
              <rect className="network-back" x={x - bar.back / 2} y={y - HEIGHT / 2} width={bar.back} height={HEIGHT} rx={3} />
              <text x={x} y={y - 2} textAnchor="middle">
                {layer.name}
              </text>
              <rect
                x={x - bar.width / 2}
                y={y + 5}
                width={bar.width}
                height={7}
                rx={2}
                style={{ fill: `var(--${COLORS[layer.kind] ?? "series-6"})` }}
              />
            </g>
          ))}
        </svg>
      </div>
    </div>
  );
}

const clamp = (zoom: number) => Math.min(4, Math.max(0.05, zoom));

interface Placed {
  x: number;
  y: number;
  bar: { width: number; back: number };
  layer: LayerNode;
}

/** Where every layer and every edge goes. */
function place(graph: Graph): { width: number; height: number; nodes: Placed[]; edges: string[] } {
  const most = Math.max(...graph.layers.map((layer) => layer.units), 1);
  const dagre = new Dagre();
  dagre.setGraph({ rankdir: "TB", nodesep: 18, ranksep: 22, marginx: 8, marginy: 8 });
  dagre.setDefaultEdgeLabel(() => ({}));
  const bars = new Map(
    graph.layers.map((layer) => {
      const width = Math.max(4, BAR * Math.sqrt(layer.units / most));
      return [layer.name, { width, back: Math.max(width, layer.name.length * LETTER) + 8 }];
    }),
  );
  for (const layer of graph.layers) dagre.setNode(layer.name, { width: bars.get(layer.name)!.back, height: HEIGHT });
  for (const [from, to] of graph.edges) if (bars.has(from)) dagre.setEdge(from, to);
  layout(dagre);
  const size = dagre.graph() as { width?: number; height?: number };
  const nodes = graph.layers.map((layer) => {
    const { x, y } = dagre.node(layer.name) as { x: number; y: number };
    return { x, y, bar: bars.get(layer.name)!, layer };
  });
  const edges = dagre.edges().map((edge) => {
    const { points } = dagre.edge(edge) as { points: { x: number; y: number }[] };
    return `M${points.map(({ x, y }) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L")}`;
  });
  return { width: size.width ?? 1, height: size.height ?? 1, nodes, edges };
}
