/** All queues: how deep, how fast, how healthy; pause and resume. */
import type { JSX } from "preact";
import { get, part, put } from "../api/client";
import type { Health, HealthStatus, Listing, Metrics, QueueHealth, QueueView } from "../api/types";
import { href } from "../config";
import { useLoad } from "../state/load";
import { can } from "../state/session";
import { compact, duration, percent, plural, rate } from "../text/format";
import { Button, Card, Empty, PageHead, Pill, type Tone, Waiting } from "../ui/basics";
import { attempt } from "../ui/overlay";
import { Spark } from "../ui/spark";
import { StateBar, StateCount } from "../ui/state";
import { type Column, ColumnChooser, Table } from "../ui/table";

interface Row extends QueueView {
  health?: QueueHealth;
  perMinute: number | null;
  failedShare: number | null;
  /** Whether there is a line of the last hour; each takes a request, so only the first ones have it. */
  drawn: boolean;
}

const MOST_DRAWN = 30;

async function readRows(signal: AbortSignal): Promise<Row[]> {
  const [queues, health, metrics] = await Promise.all([
    get<Listing<QueueView>>("/queues", undefined, signal),
    can("health:read") ? get<Health>("/health", undefined, signal) : null,
    can("metrics:read") ? get<Metrics>("/metrics", { last: "1h" }, signal) : null,
  ]);
  return queues.items.map((queue, at) => {
    const figures = metrics?.queues.find((each) => each.queue === queue.name);
    const ended = figures ? figures.completed + figures.failed : 0;
    return {
      ...queue,
      health: health?.queues.find((each) => each.queue === queue.name),
      perMinute: figures?.per_minute ?? (metrics ? 0 : null),
      drawn: metrics !== null && at < MOST_DRAWN,
      failedShare: figures && ended ? figures.failed / ended : null,
    };
  });
}

export const TONES: Record<HealthStatus, Tone> = { healthy: "ok", degraded: "warn", unhealthy: "bad", error: "bad" };

export default function Queues(): JSX.Element {
  const { data, error, reload } = useLoad(readRows, [], { every: 2000, period: 15_000 });
  return (
    <>
      <PageHead title="Queues" acts={<ColumnChooser name="queues" columns={columns(reload)} />}>
        {data && <span class="soft">{plural(data.length, "queue")}</span>}
      </PageHead>
      <Card flush>
        {!data ? (
          <div class="pad">
            <Waiting error={error} retry={reload} />
          </div>
        ) : (
          <Table
            label="Queues"
            name="queues"
            rows={data}
            rowKey={(queue) => queue.name}
            columns={columns(reload)}
            empty={<Empty icon="queues" title="No queue was used yet" command="windlass enqueue KIND" />}
          />
        )}
      </Card>
    </>
  );
}

function columns(reload: () => void): readonly Column<Row>[] {
  return [
    { key: "name", title: "Queue", cell: (queue) => <Name queue={queue} /> },
    { key: "bar", title: "Jobs", from: "md", cell: (queue) => <StateBar counts={queue.counts} /> },
    { key: "waiting", title: "Waiting", num: true, width: "fit", cell: (queue) => <StateCount state="waiting" value={queue.counts.waiting ?? 0} /> },
    { key: "active", title: "Active", num: true, width: "fit", from: "md", cell: (queue) => <StateCount state="active" value={queue.counts.active ?? 0} /> },
    { key: "failed", title: "Failed", num: true, width: "fit", cell: (queue) => <StateCount state="failed" value={queue.counts.failed ?? 0} /> },
    { key: "oldest", title: "Oldest waits", num: true, width: "fit", from: "lg", cell: (queue) => <Oldest health={queue.health} /> },
    { key: "trend", title: "Last hour", width: "fit", from: "lg", cell: (queue) => queue.drawn && <Trend queue={queue.name} /> },
    { key: "rate", title: "Completed", num: true, width: "fit", from: "lg", cell: (queue) => (queue.perMinute === null ? null : rate(queue.perMinute)) },
    { key: "errors", title: "Errors", num: true, width: "fit", from: "lg", cell: (queue) => (queue.failedShare === null ? <span class="dim">–</span> : percent(queue.failedShare)) },
    { key: "drain", title: "Drained in", num: true, width: "fit", from: "xl", cell: (queue) => <Drain health={queue.health} /> },
    { key: "slots", title: "Slots", num: true, width: "fit", from: "xl", cell: (queue) => queue.health && compact(queue.health.slots) },
    { key: "order", title: "Order", width: "fit", optional: true, from: "lg", cell: (queue) => queue.order },
    ...(can("queues:change") ? [{ key: "acts", title: "Acts", width: "fit" as const, cell: (queue: Row) => <PauseButton queue={queue} done={reload} small /> }] : []),
  ]; // biome-ignore format: one column a line
}

function Name({ queue }: { queue: Row }): JSX.Element {
  return (
    <span class="row wrap">
      <a href={href("/queues", queue.name)} class="break">
        {queue.name}
      </a>
      {queue.paused && <Pill tone="warn">paused</Pill>}
      {queue.health && queue.health.status !== "healthy" && (
        <Pill tone={TONES[queue.health.status]} title={queue.health.issues.map((issue) => issue.text).join("; ")}>
          {queue.health.status}
        </Pill>
      )}
    </span>
  );
}

function Trend({ queue }: { queue: string }): JSX.Element | null {
  const { data } = useLoad(
    (signal) => get<Metrics>("/metrics", { queue, last: "1h", step: "minute" }, signal),
    [queue],
    { on: (event) => event.event === "reset", every: 10_000, period: 30_000 },
  );
  if (!data) return null;
  return <Spark label={`jobs of ${queue} completed per minute`} values={data.series.map((point) => point.completed)} />;
}

export function Oldest({ health }: { health?: QueueHealth }): JSX.Element {
  if (!health || health.oldest_wait === null) return <span class="dim">–</span>;
  return (
    <>
      {duration(health.oldest_wait)}
      {!health.oldest_exact && "+"}
    </>
  );
}

export function Drain({ health }: { health?: QueueHealth }): JSX.Element {
  if (!health) return <span class="dim">–</span>;
  if (health.drain === null) return <span title="at the rates of the last five minutes">never</span>;
  return health.drain === 0 ? <span class="dim">–</span> : <>{duration(health.drain)}</>;
}

export function PauseButton({
  queue,
  done,
  small,
}: {
  queue: QueueView;
  done: () => void;
  small?: boolean;
}): JSX.Element {
  const act = async (): Promise<void> => {
    const verb = queue.paused ? "resume" : "pause";
    await attempt(
      () => put(`/queues/${part(queue.name)}/${verb}`),
      `${queue.name} is ${queue.paused ? "running" : "paused"}`,
    );
    done();
  };
  return (
    <Button small={small} icon={queue.paused ? "play" : "pause"} onClick={act}>
      {queue.paused ? "Resume" : "Pause"}
    </Button>
  );
}
