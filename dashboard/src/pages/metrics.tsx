/** Metrics: how much, how fast, how often wrong, at what cost; by queue, kind and user. */
import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { get } from "../api/client";
import type { Figures, Listing, Metrics } from "../api/types";
import { hrefWith } from "../config";
import { useLoad } from "../state/load";
import { useAddress } from "../state/url";
import { bytes, compact, cost, duration, percent, plural, rate } from "../text/format";
import { quoted } from "../text/query";
import { Card, Empty, Figure, PageHead, Waiting } from "../ui/basics";
import { Chart, type Line } from "../ui/chart";
import { type Column, ColumnChooser, Table } from "../ui/table";
import { Tabs } from "../ui/tabs";

const RANGES = { "1h": "last hour", "24h": "last 24 hours", "7d": "last 7 days", "30d": "last 30 days" } as const;
type Range = keyof typeof RANGES;
const STEPS: Record<Range, string> = { "1h": "minute", "24h": "hour", "7d": "hour", "30d": "day" };

/** Figures with what the API sends as decimal text. */
interface Priced extends Figures {
  cost: string;
  cpu: number;
  average_memory: number | null;
}

interface Whole extends Metrics {
  total: Priced;
  queues: Priced[];
  kinds: Priced[];
}

interface UserFigures {
  user: string;
  completed: number;
  failed: number;
  cancelled: number;
  retries: number;
  run_average: number | null;
  cost: string;
}

export default function MetricsPage(): JSX.Element {
  const { query, set } = useAddress();
  const range: Range = query.last && query.last in RANGES ? (query.last as Range) : "24h";
  const asked = { last: range, step: STEPS[range], queue: query.queue, kind: query.kind };
  const { data, error, reload } = useLoad(
    (signal) => get<Whole>("/metrics", asked, signal),
    [range, query.queue, query.kind],
    { every: 10_000, period: 30_000 },
  );
  const only = [query.queue && `queue ${query.queue}`, query.kind && `kind ${query.kind}`].filter(Boolean).join(", ");
  return (
    <>
      <PageHead
        title="Metrics"
        acts={
          <select aria-label="Time span" value={range} onChange={(event) => set({ last: event.currentTarget.value })}>
            {Object.entries(RANGES).map(([value, words]) => (
              <option key={value} value={value}>
                {words}
              </option>
            ))}
          </select>
        }
      >
        {only && (
          <span class="soft">
            {only} <a href={hrefWith("/metrics", { last: range })}>show everything</a>
          </span>
        )}
      </PageHead>
      {data ? <Sums data={data} /> : <Card><Waiting error={error} retry={reload} /></Card>}
      {data && <Drawn data={data} />}
      {data && <Tables data={data} range={range} />}
    </>
  ); // biome-ignore format: one part a line
}

function Sums({ data: { total } }: { data: Whole }): JSX.Element {
  const ended = total.completed + total.failed;
  return (
    <Card>
      <div class="figures">
        <Figure label="Completed" value={compact(total.completed)} hint={rate(total.per_minute)} />
        <Figure label="Failed for good" value={compact(total.failed)} tone={total.failed ? "bad" : undefined} hint={ended ? `${percent(total.failed / ended)} of what ended` : "nothing ended"} />
        <Figure label="Retries" value={compact(total.retries)} hint={plural(total.rescues, "rescue")} />
        <Figure label="Wait, p95" value={total.wait ? duration(total.wait.p95) : "–"} hint={total.wait && `p50 ${duration(total.wait.median)} · p99 ${duration(total.wait.p99)}`} />
        <Figure label="Run, p95" value={total.run ? duration(total.run.p95) : "–"} hint={total.run && `p50 ${duration(total.run.median)} · p99 ${duration(total.run.p99)}`} />
        <Figure label="Cost" value={cost(Number(total.cost), "$")} hint={ended ? `${cost(Number(total.cost) / ended, "$")} a job` : undefined} />
        <Figure label="Memory" value={total.average_memory === null ? "–" : bytes(total.average_memory)} hint="at the highest, where it is measured" />
      </div>
    </Card>
  ); // biome-ignore format: one figure a line
}

function Drawn({ data }: { data: Whole }): JSX.Element {
  const drawn = useMemo(() => {
    const { series } = data;
    const ended: Line[] = [
      { label: "completed", color: "--completed", values: series.map((point) => point.completed) },
      { label: "failed", color: "--failed", values: series.map((point) => point.failed) },
      { label: "retries", color: "--retrying", values: series.map((point) => point.retries), dashed: true },
    ];
    const taken: Line[] = [
      { label: "wait", color: "--waiting", values: series.map((point) => point.wait_average), dashed: true },
      { label: "run", color: "--active", values: series.map((point) => point.run_average) },
    ];
    return { times: series.map((point) => Date.parse(point.at) / 1000), ended, taken };
  }, [data]);
  return (
    <div class="grid" style={{ "--least": "420px" }}>
      <Card title={`Ended per ${data.step}`}>
        <Chart title="Jobs that ended" times={drawn.times} lines={drawn.ended} format={compact} height={200} />
      </Card>
      <Card title={`Average time per ${data.step}`}>
        <Chart
          title="Average wait and run time"
          times={drawn.times}
          lines={drawn.taken}
          format={duration}
          height={200}
        />
      </Card>
    </div>
  );
}

function Tables({ data, range }: { data: Whole; range: Range }): JSX.Element {
  const { query, set } = useAddress();
  const by = query.by ?? "queues";
  return (
    <Card flush>
      <Tabs
        label="By"
        at={by}
        onChange={(key) => set({ by: key === "queues" ? undefined : key })}
        tabs={[
          { key: "queues", title: "Queues", count: data.queues.length },
          { key: "kinds", title: "Kinds", count: data.kinds.length },
          { key: "users", title: "Users" },
        ]}
      >
        {by === "users" ? <Users range={range} /> : <Rows label={by} rows={by === "kinds" ? data.kinds : data.queues} range={range} />}
      </Tabs>
    </Card>
  ); // biome-ignore format: one part a line
}

function Rows({ label, rows, range }: { label: string; rows: Priced[]; range: Range }): JSX.Element {
  const columns = figureColumns(label, range);
  return (
    <>
      <div class="row end pad">
        <ColumnChooser name={`metrics-${label}`} columns={columns} />
      </div>
      <Table
        label={`Figures by ${label}`}
        name={`metrics-${label}`}
        rows={rows}
        rowKey={(row) => (label === "kinds" ? row.kind : row.queue) ?? ""}
        columns={columns}
        empty={<Empty icon="metrics" title="Nothing ran in this time" />}
      />
    </>
  );
}

function figureColumns(label: string, range: Range): readonly Column<Priced>[] {
  const name = (row: Priced): string => (label === "kinds" ? row.kind : row.queue) ?? "";
  const address = (row: Priced): string =>
    hrefWith("/metrics", { last: range, [label === "kinds" ? "kind" : "queue"]: name(row) });
  return [
    { key: "name", title: label === "kinds" ? "Kind" : "Queue", cell: (row) => <a href={address(row)} class="break">{name(row)}</a> },
    { key: "completed", title: "Completed", num: true, width: "fit", cell: (row) => compact(row.completed) },
    { key: "failed", title: "Failed", num: true, width: "fit", cell: (row) => <span class={row.failed ? "bad" : "dim"}>{compact(row.failed)}</span> },
    { key: "share", title: "Errors", num: true, width: "fit", from: "lg", cell: (row) => (row.completed + row.failed ? percent(row.failed / (row.completed + row.failed)) : "–") },
    { key: "retries", title: "Retries", num: true, width: "fit", from: "lg", cell: (row) => compact(row.retries) },
    { key: "wait", title: "Wait p95", num: true, width: "fit", from: "md", cell: (row) => (row.wait ? duration(row.wait.p95) : "–") },
    { key: "run", title: "Run p95", num: true, width: "fit", from: "md", cell: (row) => (row.run ? duration(row.run.p95) : "–") },
    { key: "p99", title: "Run p99", num: true, width: "fit", from: "xl", cell: (row) => (row.run ? duration(row.run.p99) : "–") },
    { key: "memory", title: "Memory", num: true, width: "fit", from: "lg", optional: true, cell: (row) => (row.average_memory === null ? "–" : bytes(row.average_memory)) },
    { key: "cpu", title: "CPU", num: true, width: "fit", from: "lg", optional: true, cell: (row) => duration(row.cpu) },
    { key: "cost", title: "Cost", num: true, width: "fit", from: "lg", cell: (row) => cost(Number(row.cost), "$") },
  ]; // biome-ignore format: one column a line
}

function Users({ range }: { range: Range }): JSX.Element {
  const { data, error, reload } = useLoad(
    (signal) => get<Listing<UserFigures>>("/metrics/users", { last: range, limit: 100 }, signal),
    [range],
    { every: 10_000, period: 60_000 },
  );
  if (!data) return <div class="pad"><Waiting error={error} retry={reload} /></div>; // biome-ignore format: short
  return (
    <Table
      label="Figures by user"
      rows={data.items}
      rowKey={(row) => row.user}
      columns={USERS}
      empty={<Empty icon="metrics" title="No job of a user ran in this time" command='handler.options(user="ann")' />}
    />
  );
}

const USERS: readonly Column<UserFigures>[] = [
  { key: "user", title: "User", cell: (row) => <a href={hrefWith("/jobs", { q: `user:${quoted(row.user)}` })} class="break">{row.user}</a> },
  { key: "completed", title: "Completed", num: true, width: "fit", cell: (row) => compact(row.completed) },
  { key: "failed", title: "Failed", num: true, width: "fit", cell: (row) => <span class={row.failed ? "bad" : "dim"}>{compact(row.failed)}</span> },
  { key: "retries", title: "Retries", num: true, width: "fit", from: "md", cell: (row) => compact(row.retries) },
  { key: "run", title: "Run, average", num: true, width: "fit", from: "md", cell: (row) => (row.run_average === null ? "–" : duration(row.run_average)) },
  { key: "cost", title: "Cost", num: true, width: "fit", cell: (row) => cost(Number(row.cost), "$") },
]; // biome-ignore format: one column a line
