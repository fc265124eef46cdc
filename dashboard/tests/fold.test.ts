import { expect, test } from "vitest";
import { countsOf, type FlowEdge, type FlowNode, fold, loudest, MOST_BOXES } from "../src/graph/fold";
import { lay } from "../src/graph/layout";

function node(id: string, kind = "k", more: Partial<FlowNode> = {}): FlowNode {
  return {
    id,
    kind,
    name: null,
    queue: "q",
    state: "waiting",
    reason: null,
    attempt: 0,
    role: "job",
    batch: null,
    ...more,
  };
}

function fan(width: number): { nodes: FlowNode[]; edges: FlowEdge[] } {
  const members = Array.from({ length: width }, (_, at) => node(`m${at}`, "member"));
  const edges = members.flatMap(({ id }) => [
    { parent: "first", child: id },
    { parent: id, child: "last" },
  ]);
  return { nodes: [node("first"), ...members, node("last")], edges };
}

test("a few siblings are drawn one by one", () => {
  const { nodes, edges } = fan(12);
  expect(fold(nodes, edges).boxes.map((box) => box.jobs.length)).toEqual(Array(14).fill(1));
});

test("many siblings are one box, and their lines one line", () => {
  const { nodes, edges } = fan(3000);
  const drawing = fold(nodes, edges);
  expect(drawing.boxes.map((box) => [box.title, box.jobs.length])).toEqual([
    ["k", 1],
    ["member", 3000],
    ["k", 1],
  ]);
  expect(drawing.edges).toEqual([
    { parent: "first", child: "m0" },
    { parent: "m0", child: "last" },
  ]);
  expect(drawing.left).toBe(0);
});

test("siblings with names of their own stay apart", () => {
  const { nodes, edges } = fan(20);
  const named = nodes.map((each) => ({ ...each, name: each.id }));
  expect(fold(named, edges).boxes).toHaveLength(22);
});

test("no more boxes than can be looked at, and it says what is left out", () => {
  const nodes = Array.from({ length: 1000 }, (_, at) => node(`n${at}`, `kind${at}`));
  const drawing = fold(nodes, []);
  expect(drawing.boxes).toHaveLength(MOST_BOXES);
  expect(drawing.left).toBe(1000 - MOST_BOXES);
});

test("what is wrong speaks for many", () => {
  const jobs = [
    node("a", "k", { state: "completed" }),
    node("b", "k", { state: "failed" }),
    node("c", "k", { state: "active" }),
  ];
  expect(loudest(jobs)).toBe("failed");
  expect(countsOf(jobs)).toEqual({ completed: 1, failed: 1, active: 1 });
});

test("parents stand before their children", () => {
  const edges = [
    { parent: "a", child: "b" },
    { parent: "b", child: "c" },
    { parent: "a", child: "c" },
  ];
  const found = lay({ ids: ["a", "b", "c"], edges, direction: "LR" });
  expect(found.boxes.a!.x).toBeLessThan(found.boxes.b!.x);
  expect(found.boxes.b!.x).toBeLessThan(found.boxes.c!.x);
  expect(found.lines).toHaveLength(3);
  const down = lay({ ids: ["a", "b", "c"], edges, direction: "TB" });
  expect(down.boxes.a!.y).toBeLessThan(down.boxes.c!.y);
});
