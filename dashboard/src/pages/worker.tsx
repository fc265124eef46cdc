/** One worker: what it is, and what it runs now. */
import type { JSX } from "preact";
import { useRoute } from "preact-iso";
import { readList } from "../api/lists";
import type { JobView } from "../api/types";
import { href, hrefWith } from "../config";
import { useLoad } from "../state/load";
import { bytes, compact, count } from "../text/format";
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
