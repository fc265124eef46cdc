/** One worker: what it is, what it runs now, and what became of what it ran. */
import type { JSX } from "preact";
import { useRoute } from "preact-iso";
import { get } from "../api/client";
import { readList } from "../api/lists";
import type { JobView, Listing, WorkerFigures } from "../api/types";
import { href, hrefWith } from "../config";
import { useLoad } from "../state/load";
import { can } from "../state/session";
import { bytes, compact, cost, count, duration, percent } from "../text/format";
import { quoted } from "../text/query";
import { Card, Empty, Figure, PageHead, Progress, Waiting } from "../ui/basics";
import { Table } from "../ui/table";
import { Span, Time } from "../ui/time";
import { readWorkers, WorkerState } from "./workers";

export default function WorkerPage(): JSX.Element {
  const id = useRoute().params.id ?? "";
  const { data, error, reload } = useLoad(readWorkers, [id], { every: 2000, period: 5000 });
  const worker = data?.find((each) => each.id === id);
  if (!data) {
    return (
      <>
        <PageHead title="Worker" />
        <Waiting error={error} retry={reload} />
      </>
    );
  }
  if (!worker) {
    return (
      <>
        <PageHead title="Worker" />
        <Empty icon="workers" title="It is gone: no worker of this name is alive" command="windlass workers ls">
          <code class="break">{id}</code>
        </Empty>
        {can("metrics:read") && <Ran id={id} />}
      </>
    );
  }
  return (
    <>
      <PageHead title={`${worker.host}:${worker.pid}`}>
        <WorkerState worker={worker} />
        <code class="dim break">{worker.id}</code>
      </PageHead>
      <Card>
        <div class="figures">
          <Figure label="Running" value={worker.running} hint={`of ${worker.total} slots`} />
          <Figure label="Done" value={compact(worker.done)} />
          <Figure label="Memory" value={bytes(worker.rss)} />
          <Figure label="CPU" value={`${Math.round(worker.cpu)} %`} hint="of one core" />
          <Figure label="Heartbeat" value={<Time at={worker.seen_at} />} />
        </div>
      </Card>
      {can("metrics:read") && <Ran id={id} />}
      <div class="columns">
        <RunsNow id={id} />
        <Card title="Facts">
          <dl class="facts">
            <dt>Queues</dt>
            <dd>{worker.queues?.join(", ") ?? "every queue"}</dd>
            <dt>Slots</dt>
            <dd>
              {Object.entries(worker.slots)
                .map(([runtime, slots]) => `${runtime} ${count(slots)}`)
                .join(", ")}
            </dd>
            <dt>Started</dt>
            <dd>
              <Time at={worker.started_at} full />
            </dd>
            <dt>Last took jobs</dt>
            <dd>
              <Time at={worker.claimed_at} />
            </dd>
            <dt>Version</dt>
            <dd>{worker.version}</dd>
            <dt>Kinds</dt>
            <dd>{worker.kinds.join(", ")}</dd>
          </dl>
        </Card>
      </div>
    </>
  );
}

const PERIOD = "24h";

/** Counted with each end, so it is there after the worker has gone too. */
function Ran({ id }: { id: string }): JSX.Element | null {
  const { data } = useLoad(
    (signal) => get<Listing<WorkerFigures>>("/metrics/workers", { worker: id, last: PERIOD }, signal),
    [id],
    { every: 5000, period: 15000 },
  );
  const ran = data?.items[0];
  if (!ran) {
    return null;
  }
  return (
    <Card title="Last 24 hours">
      <div class="figures">
        <Figure label="Completed" value={compact(ran.completed)} />
        <Figure
          label="Failed"
          value={compact(ran.failed)}
          hint={ran.success_rate === null ? undefined : `${percent(ran.success_rate)} went well`}
        />
        <Figure label="Retries" value={compact(ran.retries)} />
        {ran.run && (
          <Figure
            label="Run"
            value={duration(ran.run.median)}
            hint={`median; p95 ${duration(ran.run.p95)}, p99 ${duration(ran.run.p99)}`}
          />
        )}
        {ran.wait && <Figure label="Wait" value={duration(ran.wait.median)} hint={`p95 ${duration(ran.wait.p95)}`} />}
        <Figure label="CPU" value={duration(ran.cpu)} hint="of its jobs" />
        {Number(ran.cost) > 0 && <Figure label="Cost" value={cost(Number(ran.cost), "$")} />}
      </div>
    </Card>
  );
}

function RunsNow({ id }: { id: string }): JSX.Element {
  const q = `state:active worker:${quoted(id)}`;
  const { data, error, reload } = useLoad((signal) => readList<JobView>("/jobs", { q }, 50, signal), [id], {
    every: 3000,
  });
  return (
    <Card title="Runs now" acts={<a href={hrefWith("/jobs", { q })}>As a list</a>} flush>
      {!data ? (
        <div class="pad">
          <Waiting error={error} retry={reload} />
        </div>
      ) : (
        <Table
          label="Jobs that it runs"
          rows={data.items}
          rowKey={(job) => job.id}
          empty={<Empty icon="workers" title="Nothing" />}
          columns={[
            { key: "kind", title: "Kind", cell: (job) => <a href={href("/jobs", job.id)}>{job.kind}</a> },
            { key: "progress", title: "Progress", width: "fit", cell: (job) => <Progress value={job.progress} /> },
            {
              key: "for",
              title: "For",
              width: "fit",
              num: true,
              cell: (job) => <Span from={job.started_at} to={null} />,
            },
          ]}
        />
      )}
    </Card>
  );
}
