/** Workers: where they run, what they run, how they are. */
import type { JSX } from "preact";
import { get } from "../api/client";
import type { Health, Listing, WorkerHealth, WorkerView } from "../api/types";
import { href, hrefWith } from "../config";
import { useLoad } from "../state/load";
import { can } from "../state/session";
import { bytes, compact, plural } from "../text/format";
import { quoted } from "../text/query";
import { Card, Empty, Figure, PageHead, Pill, type Tone, Waiting } from "../ui/basics";
import { type Column, ColumnChooser, Table } from "../ui/table";
import { Time } from "../ui/time";

export interface WorkerRow extends WorkerView {
  health?: WorkerHealth["state"];
  total: number;
}

export async function readWorkers(signal: AbortSignal): Promise<WorkerRow[]> {
  const [workers, health] = await Promise.all([
    get<Listing<WorkerView>>("/workers", undefined, signal),
    can("health:read") ? get<Health>("/health", undefined, signal) : null,
  ]);
  return workers.items.map((worker) => ({
    ...worker,
    health: health?.workers.find((each) => each.id === worker.id)?.state,
    total: Object.values(worker.slots).reduce((sum, slots) => sum + slots, 0),
  }));
}

export const WORKER_TONES: Record<string, Tone> = {
  working: "ok",
  idle: "dim",
  running: "ok",
  stuck: "bad",
  quiet: "warn",
  lost: "bad",
};

export default function Workers(): JSX.Element {
  const { data, error, reload } = useLoad(readWorkers, [], { every: 2000, period: 5000 });
  const running = data?.reduce((sum, worker) => sum + worker.running, 0) ?? 0;
  const slots = data?.reduce((sum, worker) => sum + worker.total, 0) ?? 0;
  return (
    <>
      <PageHead title="Workers" acts={<ColumnChooser name="workers" columns={COLUMNS} />}>
        {data && <span class="soft">{plural(data.length, "worker")}</span>}
      </PageHead>
      {data && data.length > 0 && (
        <Card>
          <div class="figures">
            <Figure label="Running" value={compact(running)} hint={`of ${plural(slots, "slot")}`} />
            <Figure
              label="Done"
              value={compact(data.reduce((sum, worker) => sum + worker.done, 0))}
              hint="since they started"
            />
            <Figure label="Memory" value={bytes(data.reduce((sum, worker) => sum + worker.rss, 0))} />
            <Figure
              label="CPU"
              value={`${Math.round(data.reduce((sum, worker) => sum + worker.cpu, 0))} %`}
              hint="of one core"
            />
          </div>
        </Card>
      )}
      <Card flush>
        {!data ? (
          <div class="pad">
            <Waiting error={error} retry={reload} />
          </div>
        ) : (
          <Table
            label="Workers"
            name="workers"
            rows={data}
            rowKey={(worker) => worker.id}
            columns={COLUMNS}
            empty={<Empty icon="workers" title="No worker is alive" command="windlass worker -A shop.jobs:app" />}
          />
        )}
      </Card>
    </>
  );
}

const COLUMNS: readonly Column<WorkerRow>[] = [
  { key: "name", title: "Worker", cell: (worker) => <a href={href("/workers", worker.id)} class="break">{worker.host}:{worker.pid}</a> },
  { key: "state", title: "State", width: "fit", cell: (worker) => <WorkerState worker={worker} /> },
  { key: "slots", title: "Running", width: "fit", num: true, cell: (worker) => <Busy worker={worker} /> },
  { key: "queues", title: "Queues", from: "md", cell: (worker) => worker.queues?.join(", ") ?? <span class="dim">every queue</span> },
  { key: "done", title: "Done", width: "fit", num: true, from: "lg", cell: (worker) => compact(worker.done) },
  { key: "rss", title: "Memory", width: "fit", num: true, from: "lg", cell: (worker) => bytes(worker.rss) },
  { key: "cpu", title: "CPU", width: "fit", num: true, from: "lg", cell: (worker) => `${Math.round(worker.cpu)} %` },
  { key: "seen", title: "Heartbeat", width: "fit", from: "md", cell: (worker) => <Time at={worker.seen_at} /> },
  { key: "claimed", title: "Last took jobs", width: "fit", from: "xl", cell: (worker) => <Time at={worker.claimed_at} /> },
  { key: "started", title: "Started", width: "fit", from: "xl", cell: (worker) => <Time at={worker.started_at} /> },
  { key: "version", title: "Version", width: "fit", from: "xl", cell: (worker) => worker.version },
  { key: "kinds", title: "Kinds", optional: true, from: "lg", cell: (worker) => worker.kinds.join(", ") },
]; // biome-ignore format: one column a line

export function WorkerState({ worker }: { worker: WorkerRow }): JSX.Element {
  const state = worker.health ?? worker.state;
  return <Pill tone={WORKER_TONES[state] ?? "dim"}>{state}</Pill>;
}

export function Busy({ worker }: { worker: WorkerRow }): JSX.Element {
  const share = worker.total ? (worker.running / worker.total) * 100 : 0;
  return (
    <a
      class="progress"
      href={hrefWith("/jobs", { q: `state:active worker:${quoted(worker.id)}` })}
      title={JSON.stringify(worker.slots)}
    >
      <span class="track">
        <i style={{ width: `${share}%` }} />
      </span>
      {worker.running}/{worker.total}
    </a>
  );
}
