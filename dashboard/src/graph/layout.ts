/** Where boxes and lines go. Runs in a worker: a large graph takes its time, and the page must not stand still meanwhile. */
import { Graph, layout } from "@dagrejs/dagre";
import type { FlowEdge } from "./fold";

export interface LayoutAsked {
  ids: string[];
  edges: FlowEdge[];
  direction: "TB" | "LR";
}

export interface Point {
  x: number;
  y: number;
}

export interface Layout {
  direction: "TB" | "LR";
  width: number;
  height: number;
  boxes: Record<string, Point>;
  lines: { parent: string; child: string; points: Point[] }[];
}

export const BOX = { width: 176, height: 48 };

export function lay({ ids, edges, direction }: LayoutAsked): Layout {
  const graph = new Graph();
  // The ranker of its own choice takes ten seconds for a thousand nodes, this one less than one.
  graph.setGraph({ rankdir: direction, ranker: "longest-path", nodesep: 18, ranksep: 44, marginx: 12, marginy: 12 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const id of ids) graph.setNode(id, { ...BOX });
  for (const edge of edges) graph.setEdge(edge.parent, edge.child);
  layout(graph);
  const size = graph.graph() as { width?: number; height?: number };
  return {
    direction,
    width: size.width ?? 0,
    height: size.height ?? 0,
    boxes: Object.fromEntries(ids.map((id) => [id, place(graph.node(id) as Point)])),
    lines: edges.map(({ parent, child }) => ({
      parent,
      child,
      points: ((graph.edge(parent, child) as { points?: Point[] }).points ?? []).map(place),
    })),
  };
}

function place({ x, y }: Point): Point {
  return { x: Math.round(x), y: Math.round(y) };
}
