/** One schedule: its next times, its policies, what became of its runs. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { useRoute } from "preact-iso";
import { get, part, remove } from "../api/client";
import type { JobView, Listing } from "../api/types";
import { href } from "../config";
import { type Occurrence, Occurrences, ScheduleDialog, type ScheduleView } from "../schedule/form";
import { useLoad } from "../state/load";
import { can } from "../state/session";
import { useAddress } from "../state/url";
import { count, duration } from "../text/format";
import { Button, Card, Empty, PageHead, Pill, Waiting } from "../ui/basics";
import { attempt, confirm } from "../ui/overlay";
import { StateChip } from "../ui/state";
import { type Column, Paging, Table } from "../ui/table";
import { Span, Time } from "../ui/time";
import { trigger, turn } from "./schedules";

export default function SchedulePage(): JSX.Element {
  const key = useRoute().params.key ?? "";
  const path = `/schedules/${part(key)}`;
  const { data, error, reload } = useLoad((signal) => get<ScheduleView>(path, undefined, signal), [key], {
    every: 2000,
    period: 15_000,
  });
  if (!data || data.key !== key) {
    return (
      <>
        <PageHead title={key} />
        <Waiting error={error} retry={reload} />
      </>
    );
  }
  return (
    <>
      <PageHead title={key} acts={can("schedules:change") && <Acts schedule={data} path={path} done={reload} />}>
        {data.paused && <Pill tone="warn">paused</Pill>}
        {!data.paused && !data.next_at && <Pill>over</Pill>}
      </PageHead>
      <div class="columns">
        <div class="stack">
          <Runs path={path} />
        </div>
        <div class="stack">
          <Card title="Next times">
            <Upcoming path={path} rule={data.when} />
          </Card>
          <Card title="Facts">
            <Facts schedule={data} />
          </Card>
        </div>
      </div>
    </>
  );
}

function Facts({ schedule }: { schedule: ScheduleView }): JSX.Element {
  return (
    <dl class="facts">
      <dt>When</dt>
      <dd><code>{schedule.when}</code></dd>
      <dt>Time zone</dt>
      <dd>{schedule.timezone}</dd>
      <dt>Kind</dt>
      <dd class="break">{schedule.kind}</dd>
      <dt>Queue</dt>
      <dd><a href={href("/queues", schedule.queue)}>{schedule.queue}</a></dd>
      <dt>Overlap</dt>
      <dd>{schedule.overlap}</dd>
      <dt>Missed</dt>
      <dd>{schedule.missed}</dd>
      {schedule.jitter > 0 && <><dt>Jitter</dt><dd>up to {duration(schedule.jitter)}</dd></>}
      <dt>Fired</dt>
      <dd>{count(schedule.fired)} times</dd>
      <dt>Last</dt>
      <dd><Time at={schedule.last_at} /></dd>
      <dt>Declared by</dt>
      <dd class="break">{schedule.owner ?? "nobody's code"}</dd>
    </dl>
  ); // biome-ignore format: one fact a line
}

function Upcoming({ path, rule }: { path: string; rule: string }): JSX.Element {
  const { data, error, reload } = useLoad(
    (signal) => get<Occurrence[]>(`${path}/preview`, { count: 8 }, signal),
    [path, rule],
    { on: (event) => event.event === "settings" || event.event === "reset", every: 5000, period: 60_000 },
  );
  return data ? <Occurrences times={data} /> : <Waiting error={error} retry={reload} lines={4} />;
}

function Runs({ path }: { path: string }): JSX.Element {
  const { query, set } = useAddress();
  const { data, error, reload } = useLoad(
    (signal) => get<Listing<JobView>>(`${path}/history`, { limit: 25, cursor: query.cursor }, signal),
    [path, query.cursor],
    { every: 2000, period: 15_000 },
  );
  const next = data?.next_cursor;
  return (
    <Card title="Runs" flush>
      {!data ? (
        <div class="pad">
          <Waiting error={error} retry={reload} />
        </div>
      ) : (
        <>
          <Table label="Runs" rows={data.items} rowKey={(job) => job.id} columns={COLUMNS} empty={<Empty icon="schedules" title="It has not run yet, or its jobs are gone" />} />
          <Paging words="the newest first" newest={query.cursor ? () => set({ cursor: undefined }) : undefined} older={next ? () => set({ cursor: next }) : undefined} />
        </>
      )}
    </Card>
  ); // biome-ignore format: one part a line
}

const COLUMNS: readonly Column<JobView>[] = [
  { key: "state", title: "State", width: "fit", cell: (job) => <StateChip state={job.state} /> },
  { key: "job", title: "Job", cell: (job) => <a href={href("/jobs", job.id)} class="break">{job.kind}</a> },
  { key: "made", title: "Made", width: "fit", cell: (job) => <Time at={job.created_at} /> },
  { key: "ran", title: "Ran", width: "fit", num: true, from: "md", cell: (job) => <Span from={job.started_at} to={job.finished_at} /> },
]; // biome-ignore format: one column a line

function Acts({ schedule, path, done }: { schedule: ScheduleView; path: string; done: () => void }): JSX.Element {
  const { go } = useAddress();
  const [editing, setEditing] = useState(false);
  const drop = (): void =>
    confirm({
      title: `Remove the schedule ${schedule.key}?`,
      text: schedule.owner ? `It is declared by ${schedule.owner}: the next start of a worker brings it back.` : "Its jobs stay as they are.",
      act: "Remove",
      danger: true,
      run: async () => {
        if (await attempt(() => remove(path), `${schedule.key} is removed`)) go(href("/schedules"));
      },
    }); // biome-ignore format: one thought a line
  return (
    <>
      <Button icon="bolt" onClick={() => trigger(schedule).then(done)}>
        Run now
      </Button>
      <Button icon={schedule.paused ? "play" : "pause"} onClick={() => turn(schedule).then(done)}>
        {schedule.paused ? "Resume" : "Pause"}
      </Button>
      <Button icon="edit" onClick={() => setEditing(true)}>
        Edit
      </Button>
      <Button icon="bin" kind="danger" onClick={drop}>
        Remove
      </Button>
      {editing && <ScheduleDialog schedule={schedule} onClose={() => setEditing(false)} done={done} />}
    </>
  );
}
