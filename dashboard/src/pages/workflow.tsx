/** One workflow: its graph, its jobs, its batches, and what can be done about it. */
import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { useRoute } from "preact-iso";
import { get, part, post } from "../api/client";
import { STATES } from "../api/types";
import { href, hrefWith } from "../config";
import { countsOf, type FlowEdge, type FlowNode, fold } from "../graph/fold";
import { GraphView } from "../graph/graph";
import { useLoad } from "../state/load";
import { can } from "../state/session";
import { useAddress } from "../state/url";
import { count, percent, plural, shortId } from "../text/format";
import { Button, Card, Copy, Figure, PageHead, Pill, Waiting } from "../ui/basics";
import { attempt, confirm } from "../ui/overlay";
import { StateBar, StateChip, StateCount } from "../ui/state";
import { type Column, Table } from "../ui/table";
import { Tabs } from "../ui/tabs";
import { FLOW_TONES, type FlowState } from "./workflows";

interface FlowGraph extends FlowState {
  nodes: FlowNode[];
  edges: FlowEdge[];
}

const MOST_LISTED = 500;

export default function WorkflowPage(): JSX.Element {
  const id = useRoute().params.id ?? "";
  const path = `/workflows/${part(id)}`;
  const { query, set } = useAddress();
  const { data, error, reload } = useLoad((signal) => get<FlowGraph>(path, undefined, signal), [id], {
    every: 1500,
    period: 30_000,
  });
  const drawing = useMemo(() => data && fold(data.nodes, data.edges), [data]);
  if (!data || data.id !== id || !drawing) {
    return (
      <>
        <PageHead title="Workflow" />
        <Waiting error={error} retry={reload} />
      </>
    );
  }
  const tab = query.tab ?? "graph";
  const batches = batchesOf(data.nodes);
  return (
    <>
      <PageHead title={data.name ?? data.nodes[0]?.kind ?? "Workflow"} acts={can("jobs:change") && <Acts flow={data} path={path} done={reload} />}>
        <Pill tone={FLOW_TONES[data.state]}>{data.state}</Pill>
        <span class="dim row tight"><code>{shortId(id)}</code><Copy text={id} label="Copy the id" /></span>
      </PageHead>
      <Card>
        <Totals flow={data} />
      </Card>
      <Card flush>
        <Tabs
          label="The workflow as"
          at={tab}
          onChange={(key) => set({ tab: key === "graph" ? undefined : key })}
          tabs={[
            { key: "graph", title: "Graph" },
            { key: "list", title: "List", count: data.nodes.length },
            ...(batches.length ? [{ key: "batches", title: "Batches", count: batches.length }] : []),
          ]}
        >
          {tab === "list" ? <Jobs flow={data} /> : tab === "batches" ? <Batches batches={batches} /> : <GraphView drawing={drawing} flow={id} />}
        </Tabs>
      </Card>
    </>
  ); // biome-ignore format: one part a line
}

function Totals({ flow }: { flow: FlowGraph }): JSX.Element {
  const over = (flow.counts.completed ?? 0) + (flow.counts.failed ?? 0) + (flow.counts.cancelled ?? 0);
  return (
    <div class="stack">
      <div class="figures">
        <Figure label="Ended" value={percent(flow.nodes.length ? over / flow.nodes.length : 1)} hint={`${count(over)} of ${plural(flow.nodes.length, "job")}`} />
        {STATES.filter((state) => flow.counts[state]).map((state) => (
          <Figure key={state} label={state} value={<StateCount state={state} value={flow.counts[state] ?? 0} />} />
        ))}
      </div>
      <StateBar counts={flow.counts} />
    </div>
  ); // biome-ignore format: one figure a line
}

function Jobs({ flow }: { flow: FlowGraph }): JSX.Element {
  const waitsFor = useMemo(() => {
    const names = new Map(flow.nodes.map((node) => [node.id, node.name ?? node.kind]));
    const found = new Map<string, string[]>();
    for (const { parent, child } of flow.edges) {
      const known = found.get(child);
      if (known) known.push(names.get(parent) ?? parent);
      else found.set(child, [names.get(parent) ?? parent]);
    }
    return found;
  }, [flow]);
  const columns: readonly Column<FlowNode>[] = [
    { key: "state", title: "State", width: "fit", cell: (node) => <StateChip state={node.state} /> },
    { key: "job", title: "Job", cell: (node) => <a href={href("/jobs", node.id)} class="break">{node.name ?? node.kind}</a> },
    { key: "role", title: "Role", width: "fit", from: "md", cell: (node) => (node.role === "job" ? <span class="dim">–</span> : node.role) },
    { key: "after", title: "After", from: "lg", cell: (node) => <span class="small cut">{words(waitsFor.get(node.id))}</span> },
    { key: "reason", title: "Why", from: "xl", cell: (node) => <span class="small soft break">{node.reason}</span> },
  ]; // biome-ignore format: one column a line
  return (
    <>
      <Table label="Jobs of the workflow" rows={flow.nodes.slice(0, MOST_LISTED)} rowKey={(node) => node.id} columns={columns} />
      {flow.nodes.length > MOST_LISTED && (
        <p class="pad small soft">
          The first {MOST_LISTED}; <a href={hrefWith("/jobs", { q: `workflow:${flow.id}` })}>all of them</a>.
        </p>
      )}
    </>
  ); // biome-ignore format: one part a line
}

function words(names: readonly string[] | undefined): string {
  if (!names) return "–";
  return names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ");
}

interface BatchOf {
  id: string;
  members: FlowNode[];
  callbacks: FlowNode[];
}

function batchesOf(nodes: readonly FlowNode[]): BatchOf[] {
  const found = new Map<string, BatchOf>();
  for (const node of nodes) {
    if (!node.batch) continue;
    const batch = found.get(node.batch) ?? { id: node.batch, members: [], callbacks: [] };
    (node.role === "callback" ? batch.callbacks : batch.members).push(node);
    found.set(node.batch, batch);
  }
  return [...found.values()];
}

function Batches({ batches }: { batches: BatchOf[] }): JSX.Element {
  const columns: readonly Column<BatchOf>[] = [
    { key: "members", title: "Members", width: "fit", num: true, cell: (batch) => count(batch.members.length) },
    { key: "states", title: "How they stand", cell: (batch) => <StateBar counts={countsOf(batch.members)} /> },
    { key: "callbacks", title: "Callbacks", cell: (batch) => (
      <ul class="stack tight">
        {batch.callbacks.map((each) => (
          <li key={each.id} class="row wrap"><StateChip state={each.state} /> <a href={href("/jobs", each.id)} class="break">{each.name ?? each.kind}</a></li>
        ))}
      </ul>
    ) },
  ]; // biome-ignore format: one column a line
  return <Table label="Batches" rows={batches} rowKey={(batch) => batch.id} columns={columns} />;
}

function Acts({ flow, path, done }: { flow: FlowGraph; path: string; done: () => void }): JSX.Element {
  const ended = (flow.counts.failed ?? 0) + (flow.counts.cancelled ?? 0);
  const act = async (verb: string, words: string): Promise<void> => {
    await attempt(() => post(`${path}/${verb}`), words);
    done();
  };
  return (
    <>
      <Button icon="retry" kind="main" disabled={!ended} onClick={() => act("retry", "What failed runs again, from there on")}>
        Retry what failed
      </Button>
      <Button
        icon="cancel"
        kind="danger"
        disabled={flow.state !== "running"}
        onClick={() =>
          confirm({
            title: "Cancel the workflow?",
            text: "What waits is cancelled, what runs is asked to stop. What is done stays done.",
            act: "Cancel it",
            danger: true,
            run: () => act("cancel", "The workflow is cancelled"),
          })
        }
      >
        Cancel
      </Button>
    </>
  ); // biome-ignore format: one act a line
}
