/** A workflow's graph as it is drawn: siblings alike become one node, so that a thousand members are one box. Pure. */
import type { State } from "../api/types";

export interface FlowNode {
  id: string;
  kind: string;
  name: string | null;
  queue: string;
  state: State;
  reason: string | null;
  attempt: number;
  role: "job" | "member" | "callback";
  batch: string | null;
}

export interface FlowEdge {
  parent: string;
  child: string;
}

/** One box: a job, or many of one kind with the same parents and children. */
export interface Box {
  id: string;
  title: string;
  jobs: FlowNode[];
}

export interface Drawing {
  boxes: Box[];
  edges: FlowEdge[];
  /** Jobs that are not drawn, because there are too many boxes. */
  left: number;
}

export const MOST_BOXES = 400;
/** So many siblings of a kind are drawn one by one. */
export const MOST_ALIKE = 12;

export function fold(nodes: readonly FlowNode[], edges: readonly FlowEdge[]): Drawing {
  const parents = neighbours(edges, "child", "parent");
  const children = neighbours(edges, "parent", "child");
  const alike = new Map<string, FlowNode[]>();
  for (const node of nodes) {
    const key = JSON.stringify([node.kind, node.name && "named", parents.get(node.id), children.get(node.id)]);
    const group = alike.get(node.name ? node.id : key);
    if (group) group.push(node);
    else alike.set(node.name ? node.id : key, [node]);
  }
  const all: Box[] = [];
  for (const group of alike.values()) {
    if (group.length > MOST_ALIKE) all.push({ id: group[0]!.id, title: group[0]!.kind, jobs: group });
    else for (const node of group) all.push({ id: node.id, title: node.name ?? node.kind, jobs: [node] });
  }
  const order = new Map(nodes.map((node, at) => [node.id, at]));
  all.sort((a, b) => order.get(a.id)! - order.get(b.id)!);
  const boxes = all.slice(0, MOST_BOXES);
  const home = new Map(boxes.flatMap((box) => box.jobs.map((job) => [job.id, box.id] as const)));
  const drawn = new Map<string, FlowEdge>();
  for (const { parent, child } of edges) {
    const from = home.get(parent);
    const to = home.get(child);
    if (from && to && from !== to) drawn.set(`${from} ${to}`, { parent: from, child: to });
  }
  return { boxes, edges: [...drawn.values()], left: nodes.length - home.size };
}

function neighbours(edges: readonly FlowEdge[], of: keyof FlowEdge, to: keyof FlowEdge): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const edge of edges) {
    const known = found.get(edge[of]);
    if (known) known.push(edge[to]);
    else found.set(edge[of], [edge[to]]);
  }
  for (const list of found.values()) list.sort();
  return found;
}

/** The jobs of a box by state. */
export function countsOf(jobs: readonly FlowNode[]): Partial<Record<State, number>> {
  const counts: Partial<Record<State, number>> = {};
  for (const job of jobs) counts[job.state] = (counts[job.state] ?? 0) + 1;
  return counts;
}

/** The state that speaks for a box of many: what is wrong, else what goes on, else what is done. */
const LOUDEST: readonly State[] = [
  "failed",
  "active",
  "retrying",
  "waiting",
  "delayed",
  "blocked",
  "cancelled",
  "completed",
];

export function loudest(jobs: readonly FlowNode[]): State {
  const counts = countsOf(jobs);
  return LOUDEST.find((state) => counts[state]) ?? "blocked";
}
