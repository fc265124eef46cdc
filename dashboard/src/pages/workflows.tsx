/** Workflows and batches: how far they are. */
import type { JSX } from "preact";
import { get, part } from "../api/client";
import type { Listing } from "../api/types";
import { href } from "../config";
import { useLoad } from "../state/load";
import { useAddress } from "../state/url";
import { count } from "../text/format";
import { Card, Empty, PageHead, Pill, type Tone, Waiting } from "../ui/basics";
import { type Counts, StateBar } from "../ui/state";
import { type Column, Paging, Table } from "../ui/table";
import { Tabs } from "../ui/tabs";
import { Time } from "../ui/time";

export interface FlowInfo {
  id: string;
  name: string | null;
  state: "running" | "completed" | "failed" | "cancelled";
  jobs: number;
  created_at: string;
  head: string;
  batch: boolean;
}

export interface FlowState {
  id: string;
  name: string | null;
  state: FlowInfo["state"];
  counts: Counts;
}

export const FLOW_TONES: Record<string, Tone> = { running: "note", completed: "ok", failed: "bad", cancelled: "dim" };
const MOST_DRAWN = 20;

interface Row extends FlowInfo {
  /** Whether its jobs are counted; each takes a request, so only the first ones are. */
  drawn: boolean;
}

export default function Workflows(): JSX.Element {
  const { query, set } = useAddress();
  const only = query.only ?? "all";
  const { data, error, reload } = useLoad(
    (signal) => get<Listing<FlowInfo>>("/workflows", { limit: 50, cursor: query.cursor }, signal),
    [query.cursor],
    { every: 2000, period: 15_000 },
  );
  const rows = data?.items
    .filter((flow) => only === "all" || flow.batch === (only === "batches"))
    .map((flow, at) => ({ ...flow, drawn: at < MOST_DRAWN }));
  const next = data?.next_cursor;
  return (
    <>
      <PageHead title="Workflows" />
      <Card flush>
        <Tabs
          label="Which ones"
          at={only}
          onChange={(key) => set({ only: key === "all" ? undefined : key })}
          tabs={[
            { key: "all", title: "All" },
            { key: "workflows", title: "Graphs" },
            { key: "batches", title: "Batches" },
          ]}
        >
          {!rows ? (
            <div class="pad">
              <Waiting error={error} retry={reload} />
            </div>
          ) : (
            <>
              <Table
                label="Workflows"
                rows={rows}
                rowKey={(flow) => flow.id}
                columns={COLUMNS}
                empty={
                  <Empty icon="workflows" title="No workflow is kept" command="await app.run(chain(a.job(), b.job()))">
                    Chains, groups, batches and graphs of jobs are shown here for as long as their first job is kept.
                  </Empty>
                }
              />
              <Paging
                words="the newest first"
                newest={query.cursor ? () => set({ cursor: undefined }) : undefined}
                older={next ? () => set({ cursor: next }) : undefined}
              />
            </>
          )}
        </Tabs>
      </Card>
    </>
  );
}

const COLUMNS: readonly Column<Row>[] = [
  { key: "name", title: "Workflow", cell: (flow) => <a href={href("/workflows", flow.id)} class="break">{flow.name ?? flow.head}</a> },
  { key: "state", title: "State", width: "fit", cell: (flow) => <Pill tone={FLOW_TONES[flow.state]}>{flow.state}</Pill> },
  { key: "progress", title: "Jobs", from: "md", cell: (flow) => (flow.drawn ? <Progress flow={flow} /> : null) },
  { key: "jobs", title: "Number", width: "fit", num: true, cell: (flow) => count(flow.jobs) },
  { key: "made", title: "Made", width: "fit", cell: (flow) => <Time at={flow.created_at} /> },
]; // biome-ignore format: one column a line

function Progress({ flow }: { flow: FlowInfo }): JSX.Element | null {
  const { data } = useLoad(
    (signal) => get<FlowState>(`/batches/${part(flow.id)}`, undefined, signal),
    [flow.id, flow.state],
    { on: (event) => event.event === "reset" || flow.state === "running", every: 3000 },
  );
  return data ? <StateBar counts={data.counts} /> : null;
}
