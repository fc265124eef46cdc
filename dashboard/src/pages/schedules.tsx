/** Schedules: what runs again and again, when next, and what became of it. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { get, part, post } from "../api/client";
import type { JobView, Listing } from "../api/types";
import { href } from "../config";
import { ScheduleDialog, type ScheduleView } from "../schedule/form";
import { useLoad } from "../state/load";
import { can } from "../state/session";
import { compact, plural } from "../text/format";
import { Button, Card, Empty, PageHead, Pill, Waiting } from "../ui/basics";
import { attempt, toast } from "../ui/overlay";
import { StateIcon } from "../ui/state";
import { type Column, ColumnChooser, Table } from "../ui/table";
import { Time } from "../ui/time";

const MOST_DRAWN = 30;

export default function Schedules(): JSX.Element {
  const [adding, setAdding] = useState(false);
  const { data, error, reload } = useLoad((signal) => get<Listing<ScheduleView>>("/schedules", undefined, signal), [], {
    every: 2000,
    period: 15_000,
  });
  const rows = data?.items.map((schedule, at) => ({ ...schedule, drawn: at < MOST_DRAWN }));
  return (
    <>
      <PageHead
        title="Schedules"
        acts={
          <>
            <ColumnChooser name="schedules" columns={columns(reload)} />
            {can("schedules:change") && (
              <Button icon="plus" onClick={() => setAdding(true)}>
                New schedule
              </Button>
            )}
          </>
        }
      >
        {data && <span class="soft">{plural(data.items.length, "schedule")}</span>}
      </PageHead>
      <Card flush>
        {!rows ? (
          <div class="pad">
            <Waiting error={error} retry={reload} />
          </div>
        ) : (
          <Table
            label="Schedules"
            name="schedules"
            rows={rows}
            rowKey={(schedule) => schedule.key}
            columns={columns(reload)}
            empty={
              <Empty icon="schedules" title="Nothing is scheduled" command='@app.schedule("0 6 * * *")'>
                Schedules are declared in code, or made here.
              </Empty>
            }
          />
        )}
      </Card>
      {adding && <ScheduleDialog onClose={() => setAdding(false)} done={reload} />}
    </>
  );
}

interface Row extends ScheduleView {
  /** Whether its last runs are shown; each takes a request, so only the first ones have them. */
  drawn: boolean;
}

function columns(reload: () => void): readonly Column<Row>[] {
  return [
    { key: "key", title: "Schedule", cell: (schedule) => <Name schedule={schedule} /> },
    { key: "when", title: "When", width: "fit", from: "md", cell: (schedule) => <When schedule={schedule} /> },
    { key: "next", title: "Next", width: "fit", cell: (schedule) => <Time at={schedule.next_at} /> },
    { key: "runs", title: "Last runs", width: "fit", from: "lg", cell: (schedule) => schedule.drawn && <LastRuns name={schedule.key} /> },
    { key: "fired", title: "Fired", width: "fit", num: true, from: "lg", cell: (schedule) => compact(schedule.fired) },
    { key: "queue", title: "Queue", width: "fit", from: "xl", cell: (schedule) => <a href={href("/queues", schedule.queue)}>{schedule.queue}</a> },
    { key: "owner", title: "Declared by", width: "fit", optional: true, from: "lg", cell: (schedule) => schedule.owner ?? "nobody's code" },
    ...(can("schedules:change") ? [{ key: "acts", title: "Acts", width: "fit" as const, cell: (schedule: Row) => <RowActs schedule={schedule} done={reload} /> }] : []),
  ]; // biome-ignore format: one column a line
}

function Name({ schedule }: { schedule: ScheduleView }): JSX.Element {
  return (
    <div class="stack tight">
      <span class="row wrap">
        <a href={href("/schedules", schedule.key)} class="break">
          {schedule.key}
        </a>
        {schedule.paused && <Pill tone="warn">paused</Pill>}
        {!schedule.paused && !schedule.next_at && <Pill>over</Pill>}
      </span>
      {schedule.kind !== schedule.key && <span class="small soft break">{schedule.kind}</span>}
    </div>
  );
}

export function When({ schedule }: { schedule: ScheduleView }): JSX.Element {
  return (
    <span class="stack tight">
      <code>{schedule.when}</code>
      <span class="small soft">{schedule.timezone}</span>
    </span>
  );
}

/** The states of its last jobs, the newest on the right. */
function LastRuns({ name }: { name: string }): JSX.Element | null {
  const { data } = useLoad(
    (signal) => get<Listing<JobView>>(`/schedules/${part(name)}/history`, { limit: 8 }, signal),
    [name],
    { on: (event) => event.event === "settings" || event.event === "reset", every: 5000, period: 30_000 },
  );
  if (!data) return null;
  if (!data.items.length) return <span class="dim">–</span>;
  return (
    <span class="row tight">
      {[...data.items].reverse().map((job) => (
        <a key={job.id} href={href("/jobs", job.id)} title={`${job.state}, ${job.created_at}`} aria-label={`${job.state} job of ${job.created_at}`}>
          <StateIcon state={job.state} />
        </a>
      ))}
    </span>
  ); // biome-ignore format: one link a line
}

/** Run it now, beside its times. */
export async function trigger(schedule: ScheduleView): Promise<void> {
  await attempt(async () => {
    const { id } = await post<{ id: string }>(`/schedules/${part(schedule.key)}/trigger`);
    toast("ok", <a href={href("/jobs", id)}>A job of {schedule.key} was made</a>);
  });
}

export async function turn(schedule: ScheduleView): Promise<void> {
  const verb = schedule.paused ? "resume" : "pause";
  const words = `${schedule.key} ${schedule.paused ? "goes on" : "is paused"}`;
  await attempt(() => post(`/schedules/${part(schedule.key)}/${verb}`), words);
}

function RowActs({ schedule, done }: { schedule: ScheduleView; done: () => void }): JSX.Element {
  return (
    <span class="row tight">
      <Button small icon={schedule.paused ? "play" : "pause"} onClick={() => turn(schedule).then(done)}>
        <span class="word">{schedule.paused ? "Resume" : "Pause"}</span>
      </Button>
      <Button small icon="bolt" title="Run it now, beside its times" onClick={() => trigger(schedule).then(done)}>
        <span class="word">Run</span>
      </Button>
    </span>
  );
}
