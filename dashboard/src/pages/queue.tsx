/** One queue: its rates, its health with what mends it, its jobs by state, its settings. */
import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { useRoute } from "preact-iso";
import { get, part, patch, remove } from "../api/client";
import { readList } from "../api/lists";
import {
  type JobView,
  type Listing,
  type Metrics,
  type QueueHealth,
  type QueueView,
  STATES,
  type WorkerView,
} from "../api/types";
import { href, hrefWith } from "../config";
import { useLoad } from "../state/load";
import { can } from "../state/session";
import { compact, count, duration, percent, plural, rate } from "../text/format";
import { quoted } from "../text/query";
import { Button, Card, Command, Empty, Figure, PageHead, Pill, Waiting } from "../ui/basics";
import { Chart } from "../ui/chart";
import { attempt, confirm } from "../ui/overlay";
import { StateChip, StateIcon } from "../ui/state";
import { Table } from "../ui/table";
import { Time } from "../ui/time";
import { Drain, Oldest, PauseButton, TONES } from "./queues";

export default function QueuePage(): JSX.Element {
  const name = useRoute().params.name ?? "";
  const path = `/queues/${part(name)}`;
  const { data, error, reload } = useLoad((signal) => get<QueueView>(path, undefined, signal), [name]);
  const health = useLoad(
    (signal) =>
      can("health:read") ? get<QueueHealth>(`/health/${part(name)}`, undefined, signal) : Promise.resolve(undefined),
    [name],
    { every: 3000, period: 10_000 },
  );
  if (!data || data.name !== name) {
    return (
      <>
        <PageHead title={name} />
        <Waiting error={error} retry={reload} />
      </>
    );
  }
  const clear = (): void =>
    confirm({
      title: `Clear ${name}?`,
      text: "Every job of this queue that waits for something is deleted for good. Running and ended ones stay.",
      act: "Delete them",
      danger: true,
      run: async () => {
        await attempt(() => remove(`${path}/jobs`), `${name} is cleared`);
        reload();
      },
    });
  return (
    <>
      <PageHead
        title={name}
        acts={
          can("queues:change") && (
            <>
              <PauseButton queue={data} done={reload} />
              <Button kind="danger" icon="bin" onClick={clear}>
                Clear
              </Button>
            </>
          )
        }
      >
        {data.paused && (
          <Pill tone="warn">
            paused <Time at={data.paused_at} />
          </Pill>
        )}
        {health.data && <Pill tone={TONES[health.data.status]}>{health.data.status}</Pill>}
      </PageHead>
      <States queue={data} />
      {health.data && <HealthCard health={health.data} />}
      {can("metrics:read") && <Rates queue={name} />}
      <div class="columns">
        <Newest queue={name} />
        <div class="stack roomy">
          <Settings queue={data} done={reload} />
          {can("workers:read") && <Serving queue={name} />}
        </div>
      </div>
    </>
  );
}

function States({ queue }: { queue: QueueView }): JSX.Element {
  return (
    <nav class="rail" aria-label="Jobs by state">
      {STATES.map((state) => (
        <a key={state} data-state={state} href={hrefWith("/jobs", { q: `state:${state} queue:${quoted(queue.name)}` })}>
          <StateIcon state={state} />
          {state}
          <b title={count(queue.counts[state] ?? 0)}>{compact(queue.counts[state] ?? 0)}</b>
        </a>
      ))}
    </nav>
  );
}

function HealthCard({ health }: { health: QueueHealth }): JSX.Element {
  return (
    <Card title="Now">
      <div class="stack">
        <div class="figures">
          <Figure label="Oldest waits" value={<Oldest health={health} />} hint={health.usual_wait === null ? "" : `usually within ${duration(health.usual_wait)}`} />
          <Figure label="Arrive" value={rate(health.arrived_per_minute)} hint="last 5 minutes" />
          <Figure label="Are served" value={rate(health.served_per_minute)} hint="last 5 minutes" />
          <Figure label="Drained in" value={<Drain health={health} />} hint="at these rates" />
          <Figure label="Fail" value={health.failed_share === null ? "–" : percent(health.failed_share)} hint={`of ${count(health.ended)} in 15 minutes`} />
          <Figure label="Slots" value={compact(health.slots)} hint={plural(health.workers, "worker")} />
        </div>
        {health.issues.map((issue) => {
          const mend = health.recommendations.find((each) => each.code === issue.code);
          return (
            <div key={issue.code} class="row wrap apart">
              <span class="break">{issue.text}</span>
              {mend && <Command text={mend.command} />}
            </div>
          );
        })}
      </div>
    </Card>
  ); // biome-ignore format: one figure a line
}

function Rates({ queue }: { queue: string }): JSX.Element {
  const [last, setLast] = useState("1h");
  const { data, error, reload } = useLoad(
    (signal) => get<Metrics>("/metrics", { queue, last, step: last === "1h" ? "minute" : "hour" }, signal),
    [queue, last],
    { every: 5000, period: 15_000 },
  );
  const drawn = useMemo(
    () =>
      data && {
        times: data.series.map((point) => Date.parse(point.at) / 1000),
        lines: [
          { label: "completed", color: "--completed", values: data.series.map((point) => point.completed) },
          { label: "failed", color: "--failed", values: data.series.map((point) => point.failed) },
          { label: "retries", color: "--retrying", values: data.series.map((point) => point.retries), dashed: true },
        ],
      },
    [data],
  );
  return (
    <Card
      title="Throughput"
      acts={
        <select aria-label="Time span" value={last} onChange={(event) => setLast(event.currentTarget.value)}>
          <option value="1h">last hour</option>
          <option value="24h">last 24 hours</option>
          <option value="7d">last 7 days</option>
        </select>
      }
    >
      {!data || !drawn ? (
        <Waiting error={error} retry={reload} />
      ) : (
        <div class="stack">
          <div class="figures">
            <Figure label="Completed" value={compact(data.total.completed)} hint={rate(data.total.per_minute)} />
            <Figure label="Failed" value={compact(data.total.failed)} tone={data.total.failed ? "bad" : undefined} />
            <Figure label="Wait, p95" value={data.total.wait ? duration(data.total.wait.p95) : "–"} hint={data.total.wait && `p50 ${duration(data.total.wait.median)}`} />
            <Figure label="Run, p95" value={data.total.run ? duration(data.total.run.p95) : "–"} hint={data.total.run && `p50 ${duration(data.total.run.median)}`} />
          </div>
          <Chart title={`Jobs of ${queue} that ended`} times={drawn.times} lines={drawn.lines} format={compact} />
        </div>
      )}
    </Card>
  ); // biome-ignore format: one figure a line
}

function Newest({ queue }: { queue: string }): JSX.Element {
  const q = `queue:${quoted(queue)}`;
  const { data, error, reload } = useLoad((signal) => readList<JobView>("/jobs", { q }, 12, signal), [queue], {
    every: 3000,
  });
  return (
    <Card title="Newest jobs" acts={<a href={hrefWith("/jobs", { q })}>All of its jobs</a>} flush>
      {!data ? (
        <div class="pad">
          <Waiting error={error} retry={reload} />
        </div>
      ) : (
        <Table
          label="Newest jobs"
          rows={data.items}
          rowKey={(job) => job.id}
          empty={<Empty icon="jobs" title="It has no jobs now" />}
          columns={[
            { key: "state", title: "State", width: "fit", cell: (job) => <StateChip state={job.state} /> },
            { key: "kind", title: "Kind", cell: (job) => <a href={href("/jobs", job.id)}>{job.kind}</a> },
            { key: "attempt", title: "Attempt", width: "fit", num: true, from: "md", cell: (job) => `${job.attempt}/${job.max_attempts}` },
            { key: "when", title: "Created", width: "fit", cell: (job) => <Time at={job.created_at} /> },
          ]}
        />
      )}
    </Card>
  ); // biome-ignore format: one column a line
}

const ORDERS: Record<QueueView["order"], string> = {
  strict: "by priority, then age",
  fair: "in turn between groups",
  weighted: "in turn, by weight",
  ageing: "priority grows with age",
};

function Settings({ queue, done }: { queue: QueueView; done: () => void }): JSX.Element {
  const change = async (order: string): Promise<void> => {
    await attempt(() => patch(`/queues/${part(queue.name)}`, { order }), `Its order is ${order} now`);
    done();
  };
  return (
    <Card title="Settings">
      <div class="stack">
        <label class="field">
          Order
          <select
            value={queue.order}
            disabled={!can("queues:change")}
            onChange={(event) => change(event.currentTarget.value)}
          >
            {Object.entries(ORDERS).map(([order, words]) => (
              <option key={order} value={order}>
                {order}: {words}
              </option>
            ))}
          </select>
        </label>
        {queue.order === "ageing" && (
          <span class="soft small">A point of priority is worth {duration(queue.ageing)} of waiting.</span>
        )}
      </div>
    </Card>
  );
}

function Serving({ queue }: { queue: string }): JSX.Element {
  const { data } = useLoad((signal) => get<Listing<WorkerView>>("/workers", undefined, signal), [], {
    every: 5000,
    period: 10_000,
  });
  const own = data?.items.filter((worker) => worker.queues === null || worker.queues.includes(queue));
  return (
    <Card title="Workers that serve it">
      {own?.length ? (
        <ul class="stack tight">
          {own.map((worker) => (
            <li key={worker.id} class="row apart">
              <a href={href("/workers", worker.id)} class="cut">
                {worker.host}:{worker.pid}
              </a>
              <span class="dim">{worker.running} running</span>
            </li>
          ))}
        </ul>
      ) : (
        own && <Empty icon="workers" title="None" command={`windlass worker --queues ${queue}`} />
      )}
    </Card>
  );
}
