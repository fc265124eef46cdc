/** How everything is, on one screen: the verdict, counts, rates, times, what failed last. */
import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { get } from "../api/client";
import { readList } from "../api/lists";
import { type Health, type JobView, type Listing, type Metrics, type QueueView, STATES } from "../api/types";
import { href, hrefWith } from "../config";
import { readFiring } from "../state/firing";
import { useLoad } from "../state/load";
import { readQueues } from "../state/queues";
import { can } from "../state/session";
import { compact, count, duration, percent, plural, rate } from "../text/format";
import { Card, Command, Empty, Figure, PageHead, Pill, type Tone, Waiting } from "../ui/basics";
import { Chart, type Line } from "../ui/chart";
import { type Counts, StateBar, StateChip, StateCount, StateIcon } from "../ui/state";
import { Table } from "../ui/table";
import { Time } from "../ui/time";

const RANGES = { "1h": "hour", "24h": "24 hours", "7d": "7 days" } as const;
type Range = keyof typeof RANGES;

export default function Overview(): JSX.Element {
  const [range, setRange] = useState<Range>("1h");
  return (
    <>
      <PageHead
        title="Overview"
        acts={
          can("metrics:read") && (
            <select
              aria-label="Time span"
              value={range}
              onChange={(event) => setRange(event.currentTarget.value as Range)}
            >
              {Object.entries(RANGES).map(([key, words]) => (
                <option key={key} value={key}>
                  last {words}
                </option>
              ))}
            </select>
          )
        }
      />
      {can("health:read") && <Verdict />}
      {can("queues:read") ? <ByState /> : <OwnJobs />}
      {can("metrics:read") && <Rates range={range} />}
      <div class="grid" style={{ "--least": "420px" }}>
        {can("queues:read") && <Queues />}
        <Failures />
      </div>
    </>
  );
}

const TONES: Record<Health["status"], Tone> = {
  healthy: "ok",
  degraded: "warn",
  unhealthy: "bad",
  error: "bad",
};

function Verdict(): JSX.Element {
  const { data, error, reload } = useLoad((signal) => get<Health>("/health", undefined, signal), [], {
    every: 5000,
    period: 10_000,
  });
  if (!data) return <Card><Waiting error={error} retry={reload} lines={1} /></Card>; // biome-ignore format: short
  const serious = data.issues.filter((issue) => issue.level !== "note");
  const shown = serious.length ? serious : data.issues;
  return (
    <Card
      title={
        <span class="row">
          <Pill tone={TONES[data.status]}>{data.status}</Pill>
          {shown.length ? plural(shown.length, serious.length ? "issue" : "note") : "nothing is amiss"}
        </span>
      }
      acts={
        <span class="row">
          {can("alerts:read") && <Firing />}
          <Crew health={data} />
        </span>
      }
      flush={!shown.length}
    >
      {shown.length > 0 && (
        <ul class="stack">
          {shown.slice(0, 5).map((issue) => {
            const mend = data.recommendations.find((each) => each.code === issue.code);
            return (
              <li key={issue.code + (issue.queue ?? "")} class="row wrap apart">
                <span class="break">
                  {issue.queue && (
                    <a class="under" href={href("/queues", issue.queue)}>
                      {issue.queue}
                    </a>
                  )}{" "}
                  {issue.text}
                </span>
                {mend && <Command text={mend.command} />}
              </li>
            );
          })}
          {shown.length > 5 && <li class="dim">and {shown.length - 5} more</li>}
        </ul>
      )}
    </Card>
  );
}

/** Rules of alerts look at other things than health does: a queue is well, and its jobs may have failed all the same. */
function Firing(): JSX.Element | null {
  const { data } = useLoad(readFiring, [], { on: () => false, period: 10_000 });
  if (!data?.items.length) return null;
  return (
    <a href={href("/alerts")}>
      <Pill tone="bad">{plural(data.items.length, "alert")} firing</Pill>
    </a>
  );
}

function Crew({ health }: { health: Health }): JSX.Element | null {
  if (!can("workers:read")) return null;
  const unwell = health.workers.filter((worker) => worker.state === "stuck" || worker.state === "lost").length;
  return (
    <a href={href("/workers")} class="small">
      {plural(health.workers.length, "worker")}
      {unwell > 0 && <span class="bad"> · {unwell} not well</span>}
    </a>
  );
}

function sumOf(queues: readonly QueueView[]): Counts {
  const sum: Counts = {};
  for (const queue of queues) for (const state of STATES) sum[state] = (sum[state] ?? 0) + (queue.counts[state] ?? 0);
  return sum;
}

function ByState(): JSX.Element {
  const { data, error, reload } = useLoad(readQueues, []);
  if (!data) return <Waiting error={error} retry={reload} lines={2} />;
  const counts = sumOf(data.items);
  return (
    <ul class="tiles" aria-label="Jobs by state">
      {STATES.map((state) => (
        <li key={state}>
          <a
            href={hrefWith("/jobs", { q: `state:${state}` })}
            data-state={state}
            title={`${count(counts[state] ?? 0)} ${state}`}
          >
            <span class="row">
              <StateIcon state={state} />
              {state}
            </span>
            <b>{compact(counts[state] ?? 0)}</b>
          </a>
        </li>
      ))}
    </ul>
  );
}

function OwnJobs(): JSX.Element {
  const { data, error, reload } = useLoad((signal) => get<Listing<JobView>>("/jobs", { limit: 10 }, signal), []);
  return (
    <Card title="Your newest jobs" acts={<a href={href("/jobs")}>All jobs</a>} flush>
      {data ? <JobRows jobs={data.items} /> : <Waiting error={error} retry={reload} />}
    </Card>
  );
}

function JobRows({ jobs }: { jobs: readonly JobView[] }): JSX.Element {
  return (
    <Table
      label="Jobs"
      rows={jobs}
      rowKey={(job) => job.id}
      empty={<Empty icon="jobs" title="No jobs yet" command="windlass enqueue KIND --arg name=value" />}
      columns={[
        { key: "state", title: "State", width: "fit", cell: (job) => <StateChip state={job.state} /> },
        { key: "kind", title: "Kind", cell: (job) => <a href={href("/jobs", job.id)}>{job.kind}</a> },
        { key: "queue", title: "Queue", from: "md", cell: (job) => job.queue },
        { key: "created", title: "Created", width: "fit", cell: (job) => <Time at={job.created_at} /> },
      ]}
    />
  );
}

function Rates({ range }: { range: Range }): JSX.Element {
  const { data, error, reload } = useLoad(
    (signal) => get<Metrics>("/metrics", { last: range, step: range === "1h" ? "minute" : "hour" }, signal),
    [range],
    { every: 5000, period: 15_000 },
  );
  const drawn = useMemo(() => data && drawing(data), [data]);
  if (!data || !drawn) return <Card><Waiting error={error} retry={reload} /></Card>; // biome-ignore format: short
  const { total } = data;
  const ended = total.completed + total.failed;
  return (
    <div class="grid" style={{ "--least": "420px" }}>
      <Card title="Throughput" acts={can("metrics:read") && <span class="dim small">per {data.step}</span>}>
        <div class="stack">
          <div class="figures">
            <Figure label="Completed" value={compact(total.completed)} hint={rate(total.per_minute)} />
            <Figure
              label="Failed for good"
              value={compact(total.failed)}
              tone={total.failed ? "bad" : undefined}
              hint={ended ? `${percent(total.failed / ended)} of what ended` : "nothing ended"}
            />
            <Figure label="Retries" value={compact(total.retries)} hint={plural(total.rescues, "rescue")} />
          </div>
          <Chart title="Jobs that ended" times={drawn.times} lines={drawn.ended} format={compact} height={150} />
        </div>
      </Card>
      <Card title="Time">
        <div class="stack">
          <div class="figures">
            <Percentiles label="Wait" times={total.wait} />
            <Percentiles label="Run" times={total.run} />
          </div>
          <Chart
            title="Average wait and run time"
            times={drawn.times}
            lines={drawn.times_taken}
            format={duration}
            height={150}
          />
        </div>
      </Card>
    </div>
  );
}

function Percentiles({ label, times }: { label: string; times: Metrics["total"]["run"] }): JSX.Element {
  if (!times) return <Figure label={`${label}, p95`} value="–" hint="nothing ran" />;
  return (
    <Figure
      label={`${label}, p95`}
      value={duration(times.p95)}
      hint={
        <>
          p50 {duration(times.median)} · p99 {duration(times.p99)}
        </>
      }
    />
  );
}

interface Drawing {
  times: number[];
  ended: Line[];
  times_taken: Line[];
}

function drawing({ series }: Metrics): Drawing {
  return {
    times: series.map((point) => Date.parse(point.at) / 1000),
    ended: [
      { label: "completed", color: "--completed", values: series.map((point) => point.completed) },
      { label: "failed", color: "--failed", values: series.map((point) => point.failed) },
      { label: "retries", color: "--retrying", values: series.map((point) => point.retries), dashed: true },
    ],
    times_taken: [
      { label: "wait", color: "--waiting", values: series.map((point) => point.wait_average), dashed: true },
      { label: "run", color: "--active", values: series.map((point) => point.run_average) },
    ],
  };
}

function Queues(): JSX.Element {
  const { data, error, reload } = useLoad(readQueues, []);
  const rows = useMemo(() => busiest(data?.items ?? []), [data]);
  return (
    <Card title="Queues" acts={<a href={href("/queues")}>All queues</a>} flush>
      {!data ? (
        <Waiting error={error} retry={reload} />
      ) : (
        <Table
          label="Busiest queues"
          rows={rows}
          rowKey={(queue) => queue.name}
          empty={<Empty icon="queues" title="No queue was used yet" command="windlass enqueue KIND" />}
          columns={[
            {
              key: "name",
              title: "Queue",
              cell: (queue) => (
                <span class="row">
                  <a href={href("/queues", queue.name)} class="break">
                    {queue.name}
                  </a>
                  {queue.paused && <Pill tone="warn">paused</Pill>}
                </span>
              ),
            },
            { key: "bar", title: "Jobs", from: "md", cell: (queue) => <StateBar counts={queue.counts} /> },
            { key: "waiting", title: "Waiting", num: true, width: "fit", cell: (queue) => <StateCount state="waiting" value={queue.counts.waiting ?? 0} /> },
            { key: "active", title: "Active", num: true, width: "fit", cell: (queue) => <StateCount state="active" value={queue.counts.active ?? 0} /> },
            { key: "failed", title: "Failed", num: true, width: "fit", cell: (queue) => <StateCount state="failed" value={queue.counts.failed ?? 0} /> },
          ]}
        />
      )}
    </Card>
  ); // biome-ignore format: one column a line
}

function busiest(queues: readonly QueueView[]): QueueView[] {
  const weight = ({ counts }: QueueView): number => (counts.waiting ?? 0) + (counts.active ?? 0) + (counts.failed ?? 0);
  return [...queues].sort((a, b) => weight(b) - weight(a)).slice(0, 7);
}

function Failures(): JSX.Element {
  const { data, error, reload } = useLoad(
    (signal) => readList<JobView>("/jobs", { q: "state:failed" }, 6, signal),
    [],
    { every: 4000 },
  );
  return (
    <Card title="Failed last" acts={<a href={hrefWith("/jobs", { q: "state:failed" })}>All failed jobs</a>} flush>
      {!data ? (
        <Waiting error={error} retry={reload} />
      ) : (
        <Table
          label="Jobs that failed last"
          rows={data.items}
          rowKey={(job) => job.id}
          empty={
            data.next ? (
              <Empty icon="search" title="Nothing among the newest jobs" />
            ) : (
              <Empty icon="check" title="Nothing has failed for good" />
            )
          }
          columns={[
            {
              key: "what",
              title: "Job and error",
              cell: (job) => (
                <div class="stack tight two-lines">
                  <a href={href("/jobs", job.id)} class="break">
                    {job.kind}
                  </a>
                  <span class="soft small clamp">
                    {job.error ? `${job.error.type}: ${job.error.message}` : job.reason}
                  </span>
                </div>
              ),
            },
            { key: "at", title: "Failed", width: "fit", cell: (job) => <Time at={job.finished_at} /> },
          ]}
        />
      )}
    </Card>
  );
}
