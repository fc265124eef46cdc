/** A job's right-hand column: its way through time, its facts, what it belongs to. */
import type { ComponentChildren, JSX } from "preact";
import { get, part } from "../api/client";
import type { AttemptView, FlowGraph, JobView } from "../api/types";
import { href, hrefWith } from "../config";
import { useLoad } from "../state/load";
import { duration, plural, shortId } from "../text/format";
import { between } from "../text/moments";
import { quoted } from "../text/query";
import { Card } from "../ui/basics";
import { StateIcon } from "../ui/state";
import { Span, Time } from "../ui/time";

interface Point {
  key: string;
  title: string;
  at: string | null;
  state?: JobView["state"];
  after?: string;
}

/** Created, ready, each attempt, the end; with the time between. */
export function Timeline({ job, attempts }: { job: JobView; attempts: readonly AttemptView[] }): JSX.Element {
  const points: Point[] = [{ key: "created", title: "created", at: job.created_at }];
  const ready = between(job.created_at, job.run_at);
  if (ready && ready > 0.5 && !attempts.length) {
    points.push({
      key: "ready",
      title: "may run",
      at: job.run_at,
      state: job.state === "retrying" ? "retrying" : "delayed",
    });
  }
  for (const attempt of [...attempts]
    .sort((a, b) => (a.started_at ?? "").localeCompare(b.started_at ?? ""))
    .slice(-6)) {
    points.push({
      key: `s${attempt.number}${attempt.started_at}`,
      title: `attempt ${attempt.number}`,
      at: attempt.started_at,
      state: "active",
    });
    if (attempt.finished_at && attempt.outcome !== "complete") {
      const failed = attempt.outcome === "fail" || attempt.outcome === "abort";
      points.push({
        key: `e${attempt.number}${attempt.finished_at}`,
        title: attempt.error?.type ?? attempt.reason ?? attempt.outcome,
        at: attempt.finished_at,
        state: failed ? "failed" : "retrying",
        after: spanText(attempt.started_at, attempt.finished_at),
      });
    }
  }
  if (job.state === "retrying") points.push({ key: "next", title: "next attempt", at: job.run_at, state: "retrying" });
  const ended = job.finished_at && points.at(-1)?.at !== job.finished_at;
  if (ended)
    points.push({
      key: "end",
      title: job.state,
      at: job.finished_at,
      state: job.state,
      after: spanText(job.started_at, job.finished_at),
    });
  return (
    <Card title="Timeline">
      <ol class="timeline">
        {points.map((point) => (
          <li key={point.key} data-state={point.state}>
            {point.state ? <StateIcon state={point.state} /> : <span class="start" />}
            <span class="grow break">{point.title}</span>
            <span class="dim small nowrap">
              {point.after && `${point.after} · `}
              <Time at={point.at} />
            </span>
          </li>
        ))}
      </ol>
    </Card>
  ); // biome-ignore format: one point a line
}

function spanText(from: string | null, to: string | null): string | undefined {
  const seconds = between(from, to);
  return seconds === null ? undefined : duration(seconds);
}

export function Facts({ job }: { job: JobView }): JSX.Element {
  return (
    <Card title="Facts">
      <dl class="facts">
        <Fact name="Queue">
          <a href={href("/queues", job.queue)}>{job.queue}</a>
        </Fact>
        <Fact name="Attempt">
          {job.attempt} of {job.max_attempts}
          {job.rescues > 0 && ` · ${plural(job.rescues, "rescue")}`}
        </Fact>
        <Fact name="Priority">{job.priority}</Fact>
        <Fact name="Runtime">{job.runtime}</Fact>
        <Fact name="Created">
          <Time at={job.created_at} full />
        </Fact>
        {job.started_at && (
          <Fact name="Waited">
            <Span from={job.run_at} to={job.started_at} />
          </Fact>
        )}
        {job.started_at && (
          <Fact name={job.state === "active" ? "Running for" : "Ran"}>
            <Span from={job.started_at} to={job.finished_at} />
          </Fact>
        )}
        {job.expires_at && (
          <Fact name="Expires">
            <Time at={job.expires_at} />
          </Fact>
        )}
        {job.worker && <Fact name="Worker">{job.worker}</Fact>}
        {(["user", "project", "group"] as const).map(
          (field) =>
            job[field] && (
              <Fact key={field} name={field[0]!.toUpperCase() + field.slice(1)}>
                <a href={hrefWith("/jobs", { q: `${field}:${quoted(job[field]!)}` })}>{job[field]}</a>
              </Fact>
            ),
        )}
        {job.unique && <Fact name="Unique key">{job.unique}</Fact>}
        {job.tags.length > 0 && (
          <Fact name="Tags">
            <span class="row wrap">
              {job.tags.map((tag) => (
                <a key={tag} class="tag" href={hrefWith("/jobs", { q: `tag:${quoted(tag)}` })}>
                  {tag}
                </a>
              ))}
            </span>
          </Fact>
        )}
      </dl>
    </Card>
  );
}

function Fact({ name, children }: { name: string; children: ComponentChildren }): JSX.Element {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

/** The workflow it is in, what it waits for, and what waits for it. */
export function Relations({ job }: { job: JobView }): JSX.Element | null {
  const { data } = useLoad(
    (signal) =>
      job.workflow ? get<FlowGraph>(`/workflows/${part(job.workflow)}`, undefined, signal) : Promise.resolve(null),
    [job.workflow, job.state],
    { every: 4000 },
  );
  const known = new Map(data?.nodes.map((node) => [node.id, node]));
  const children = data?.edges.filter((edge) => edge.parent === job.id).map((edge) => edge.child) ?? [];
  if (!job.workflow && !job.parents.length) return null;
  const list = (title: string, ids: readonly string[]): JSX.Element | null =>
    ids.length ? (
      <div class="stack tight">
        <h3>{title}</h3>
        <ul class="stack tight">
          {ids.slice(0, 12).map((id) => {
            const node = known.get(id);
            return (
              <li key={id} class="row" data-state={node?.state}>
                {node && (
                  <span class="state">
                    <StateIcon state={node.state} title />
                  </span>
                )}
                <a href={href("/jobs", id)} class="cut">
                  {node ? (node.name ?? node.kind) : shortId(id)}
                </a>
              </li>
            );
          })}
          {ids.length > 12 && <li class="dim">and {ids.length - 12} more</li>}
        </ul>
      </div>
    ) : null;
  return (
    <Card title="Belongs to">
      <div class="stack">
        {job.workflow && (
          <a href={href("/workflows", job.workflow)} class="break">
            workflow {data?.name ?? shortId(job.workflow)}
          </a>
        )}
        {list("Waits for", job.parents)}
        {list("Before", children)}
      </div>
    </Card>
  );
}
