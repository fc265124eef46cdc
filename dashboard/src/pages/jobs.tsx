/** Jobs: one search box, states with their counts, a dense table, acts on what is chosen or on all that matches. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { get, Problem } from "../api/client";
import { type JobView, type KindView, type Listing, STATES } from "../api/types";
import { href, hrefWith } from "../config";
import { NewJobDialog } from "../job/new-job";
import { useLoad } from "../state/load";
import { searches } from "../state/prefs";
import { readQueues } from "../state/queues";
import { type JobRow, useRows } from "../state/rows";
import { can } from "../state/session";
import { useAddress } from "../state/url";
import { compact, count, duration, plural, shortId, total } from "../text/format";
import { between } from "../text/moments";
import { type Values, valuesOf, withField } from "../text/query";
import { Button, Empty, Failure, PageHead, Progress, Skeleton } from "../ui/basics";
import { ChosenBar, WholeQuery } from "../ui/bulk";
import { Menu } from "../ui/overlay";
import { Search } from "../ui/search";
import { StateChip, StateIcon } from "../ui/state";
import { type Column, ColumnChooser, Paging, Table } from "../ui/table";
import { Span, Time } from "../ui/time";

const LIMIT = 50;

export default function Jobs(): JSX.Element {
  const { query, set, go } = useAddress();
  const q = query.q ?? "";
  const chosen = useSignal<ReadonlySet<string>>(new Set());
  const hover = useRef(false);
  const held = (): boolean => hover.current || chosen.peek().size > 0;
  const list = useRows(q, query.after, LIMIT, held);
  const before = useRef<(string | undefined)[]>([]);
  const [wide, setWide] = useState(false);
  const [making, setMaking] = useState(false);
  const values = useValues(list.rows);

  useEffect(() => {
    chosen.value = new Set();
    before.current = [];
  }, [q]);
  useEffect(() => {
    if (!held()) list.show();
  }, [chosen.value]);

  const point = (inside: boolean): void => {
    hover.current = inside;
    if (!held()) list.show();
  };
  const search = (text: string): void => set({ q: text, after: undefined });
  const wrong = list.error instanceof Problem && list.error.status === 422 ? list.error.sentence : undefined;
  const picked = list.rows?.filter((row) => chosen.value.has(row.id)) ?? [];
  return (
    <>
      <PageHead
        title="Jobs"
        acts={
          can("jobs:create") &&
          can("kinds:read") && (
            <Button icon="plus" onClick={() => setMaking(true)}>
              New job
            </Button>
          )
        }
      >
        <Matching q={q} />
      </PageHead>
      <div class="row wrap">
        <Search
          value={q}
          onSearch={search}
          values={values.found}
          onFirstFocus={values.read}
          wrong={wrong}
          placeholder="state:failed kind:send_* user:42 age:<1h"
        />
        <Since q={q} search={search} />
        <Kept q={q} search={search} />
        <ColumnChooser name="jobs" columns={COLUMNS} />
        {can("jobs:change") && q && (
          <Button icon="bolt" onClick={() => setWide(true)}>
            All matching
          </Button>
        )}
      </div>
      <Rail q={q} />
      <section class="card flush" onPointerEnter={() => point(true)} onPointerLeave={() => point(false)}>
        {picked.length > 0 && <ChosenBar jobs={picked} clear={() => (chosen.value = new Set())} />}
        {list.fresh > 0 && (
          <button type="button" class="fresh" onClick={list.show}>
            {plural(list.fresh, "change")} of the list – show
          </button>
        )}
        {list.error && !wrong && <Failure error={list.error} retry={list.reload} />}
        {!list.rows && !list.error && (
          <div class="body pad">
            <Skeleton lines={10} />
          </div>
        )}
        {list.rows && (
          <Table
            label="Jobs"
            name="jobs"
            columns={COLUMNS}
            rows={list.rows}
            rowKey={(job) => job.id}
            rowLabel={(job) => `${job.kind} ${shortId(job.id)}`}
            selection={can("jobs:change") ? { ids: chosen } : undefined}
            onOpen={(job) => go(href("/jobs", job.id))}
            rowClass={(job) => (job.gone ? "gone" : "")}
            empty={<NoJobs q={q} more={list.next !== null} />}
          />
        )}
        {list.rows && (list.rows.length > 0 || list.next || query.after) && (
          <Paging
            words={plural(list.rows.length, "job")}
            newest={query.after ? () => set({ after: undefined }) : undefined}
            newer={query.after && before.current.length ? () => set({ after: before.current.pop() }) : undefined}
            older={
              list.next
                ? () => {
                    before.current.push(query.after);
                    set({ after: list.next ?? undefined });
                    scrollTo(0, 0);
                  }
                : undefined
            }
          />
        )}
      </section>
      {making && <NewJobDialog onClose={() => setMaking(false)} />}
      {wide && <WholeQuery q={q} onClose={() => setWide(false)} />}
    </>
  );
}

const COLUMNS: readonly Column<JobRow>[] = [
  { key: "state", title: "State", width: "fit", cell: (job) => <StateOf job={job} /> },
  { key: "kind", title: "Kind and arguments", width: "wide", cell: (job) => <What job={job} /> },
  { key: "queue", title: "Queue", width: "fit", from: "lg", cell: (job) => <a href={href("/queues", job.queue)}>{job.queue}</a> },
  { key: "attempt", title: "Attempt", width: "fit", num: true, from: "lg", cell: (job) => `${job.attempt}/${job.max_attempts}` },
  { key: "user", title: "User", width: "fit", from: "xl", cell: (job) => job.user && <Filter field="user" value={job.user} /> },
  { key: "tags", title: "Tags", width: "fit", optional: true, from: "lg", cell: (job) => job.tags.map((tag) => <span key={tag} class="tag">{tag}</span>) },
  { key: "priority", title: "Priority", width: "fit", num: true, optional: true, from: "md", cell: (job) => job.priority },
  { key: "worker", title: "Worker", width: "fit", optional: true, from: "lg", cell: (job) => job.worker },
  { key: "took", title: "Ran", width: "fit", num: true, from: "md", cell: (job) => <Took job={job} /> },
  { key: "waited", title: "Waited", width: "fit", num: true, optional: true, from: "md", cell: (job) => <Waited job={job} /> },
  { key: "when", title: "When", width: "fit", cell: (job) => <When job={job} /> },
  { key: "id", title: "Id", width: "fit", optional: true, from: "md", cell: (job) => <code>{job.id}</code> },
]; // biome-ignore format: one column a line

function StateOf({ job }: { job: JobView }): JSX.Element {
  return job.state === "active" && job.progress > 0 ? (
    <span class="stack tight active">
      <StateChip state="active">{job.cancelling ? "cancelling" : "active"}</StateChip>
      <Progress value={job.progress} />
    </span>
  ) : (
    <StateChip state={job.state}>{job.cancelling ? "cancelling" : job.state}</StateChip>
  );
}

function What({ job }: { job: JobRow }): JSX.Element {
  const error = job.error && job.state !== "completed" ? `${job.error.type}: ${job.error.message}` : null;
  return (
    <div class="stack what">
      <span class="line">
        <a href={href("/jobs", job.id)} class="cut">
          {job.kind}
          {job.name && ` · ${job.name}`}
        </a>
        <span class="args cut">{job.argsLine}</span>
      </span>
      {error && (
        <span class="cut row-error" title={error}>
          {error}
        </span>
      )}
    </div>
  );
}

function Filter({ field, value }: { field: string; value: string }): JSX.Element {
  return <a href={hrefWith("/jobs", { q: withField("", field, value) })}>{value}</a>;
}

function Took({ job }: { job: JobView }): JSX.Element | null {
  if (!job.started_at) return null;
  if (job.state === "active") return <Span from={job.started_at} to={null} />;
  return job.finished_at ? <Span from={job.started_at} to={job.finished_at} /> : null;
}

function Waited({ job }: { job: JobView }): JSX.Element | null {
  const seconds = between(job.run_at, job.started_at);
  return seconds === null ? null : <>{duration(seconds)}</>;
}

/** The instant that says most about a job in its state. */
function When({ job }: { job: JobView }): JSX.Element {
  if (job.state === "delayed" || job.state === "retrying") return <Time at={job.run_at} />;
  return <Time at={job.finished_at ?? job.started_at ?? job.created_at} />;
}

function Rail({ q }: { q: string }): JSX.Element {
  const { data } = useLoad(() => (can("queues:read") ? readQueues() : Promise.resolve(null)), []);
  const at = valuesOf(q, "state");
  const counts = useMemo(() => {
    const queues = valuesOf(q, "queue");
    const own = data?.items.filter((queue) => !queues.length || queues.includes(queue.name));
    return (
      own &&
      Object.fromEntries(
        STATES.map((state) => [state, own.reduce((sum, queue) => sum + (queue.counts[state] ?? 0), 0)]),
      )
    );
  }, [data, q]);
  return (
    <nav class="rail" aria-label="States">
      <a href={hrefWith("/jobs", { q: withField(q, "state", null) })} aria-current={at.length ? undefined : "true"}>
        All
      </a>
      {STATES.map((state) => (
        <a
          key={state}
          href={hrefWith("/jobs", { q: withField(q, "state", state) })}
          data-state={state}
          aria-current={at.includes(state) ? "true" : undefined}
        >
          <StateIcon state={state} />
          {state}
          {counts && <b title={count(counts[state] ?? 0)}>{compact(counts[state] ?? 0)}</b>}
        </a>
      ))}
    </nav>
  );
}

/** How many match; counted once for each search, and no further than the API counts. */
function Matching({ q }: { q: string }): JSX.Element | null {
  const { data } = useLoad(
    (signal) => (q ? get<Listing<JobView>>("/jobs", { q, limit: 1, total: true }, signal) : Promise.resolve(null)),
    [q],
    { on: () => false },
  );
  if (!data || !q || (data.total.relation === "gte" && !data.total.value)) return null;
  return <span class="soft">{total(data.total)} match</span>;
}

const AGES: Record<string, string> = {
  "<10m": "last 10 minutes",
  "<1h": "last hour",
  "<1d": "last 24 hours",
  "<7d": "last 7 days",
};

function Since({ q, search }: { q: string; search: (text: string) => void }): JSX.Element {
  const at = valuesOf(q, "age").join(",");
  return (
    <select
      aria-label="Created"
      value={at}
      onChange={(event) => search(withField(q, "age", event.currentTarget.value || null))}
    >
      <option value="">any time</option>
      {Object.entries(AGES).map(([age, words]) => (
        <option key={age} value={age}>
          {words}
        </option>
      ))}
      {at && !(at in AGES) && <option value={at}>age {at}</option>}
    </select>
  );
}

function Kept({ q, search }: { q: string; search: (text: string) => void }): JSX.Element {
  const kept = searches.value.some((each) => each.q === q);
  const items = [
    {
      label: kept ? "Forget this search" : "Keep this search",
      icon: "star" as const,
      disabled: !q,
      run: () => {
        const others = searches.value.filter((each) => each.q !== q);
        searches.value = kept ? others : [...others, { name: q, q }];
      },
    },
    ...searches.value.map((each) => ({ label: each.name, run: () => search(each.q) })),
  ];
  return <Menu label="Kept searches" icon="star" items={items} />;
}

function NoJobs({ q, more }: { q: string; more: boolean }): JSX.Element {
  if (more)
    return (
      <Empty icon="search" title="None among the newest jobs">
        “Older” looks on from there.
      </Empty>
    );
  if (q) return <Empty icon="search" title="No job matches" command={`windlass jobs ls --query '${q}'`} />;
  return <Empty icon="jobs" title="There are no jobs yet" command="windlass enqueue KIND --arg name=value" />;
}

/** Values that complete the search: kinds and queues from the API, users and tags from what is on screen. */
function useValues(rows: readonly JobRow[] | undefined): { found: Values; read: () => void } {
  const [asked, setAsked] = useState<Values>({});
  const read = async (): Promise<void> => {
    const [kinds, queues] = await Promise.all([
      can("kinds:read") ? get<Listing<KindView>>("/kinds") : null,
      can("queues:read") ? readQueues() : null,
    ]);
    setAsked({
      kind: kinds?.items.map((kind) => kind.name) ?? [],
      queue: queues?.items.map((queue) => queue.name) ?? [],
    });
  };
  const found = useMemo(() => {
    const seen = (field: "user" | "project" | "worker" | "group" | "kind" | "queue"): string[] => [
      ...new Set([...(asked[field] ?? []), ...(rows ?? []).map((row) => row[field]).filter((value) => value !== null)]),
    ];
    const tags = [...new Set((rows ?? []).flatMap((row) => row.tags))];
    const errors = [...new Set((rows ?? []).map((row) => row.error?.type).filter((type) => type !== undefined))];
    return {
      state: STATES, kind: seen("kind"), queue: seen("queue"), user: seen("user"), project: seen("project"),
      worker: seen("worker"), group: seen("group"), tag: tags, error: errors,
      age: ["<10m", "<1h", "<1d", ">1h", ">1d"], finished: ["<10m", "<1h", "<1d"], priority: [">=10", "<0"], attempt: [">1", ">3"],
    }; // biome-ignore format: one line
  }, [asked, rows]);
  return { found, read };
}
