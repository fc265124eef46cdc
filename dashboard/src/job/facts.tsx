/** A job's right-hand column: its way through time, its facts, what it belongs to. */
import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { get, part } from "../api/client";
import { type FlowGraph, type Happened, type JobView, STATES, type State } from "../api/types";
import { href, hrefWith } from "../config";
import { useLoad } from "../state/load";
import { cost, duration, plural, shortId } from "../text/format";
import { between } from "../text/moments";
import { quoted } from "../text/query";
import { Button, Card } from "../ui/basics";
import { StateIcon } from "../ui/state";
import { Span, Time } from "../ui/time";

const SHOWN = 14;

/** What happened to it, oldest first, and what is ahead; with the time that each attempt took. */
export function Timeline({ state: now, entries }: { state: State; entries: readonly Happened[] }): JSX.Element {
  const [all, setAll] = useState(false);
  const shown = all || entries.length <= SHOWN + 1 ? entries : [entries[0]!, ...entries.slice(-SHOWN)];
  const begun = new Map(entries.filter((entry) => entry.what === "started").map((entry) => [entry.attempt, entry.at]));
  return (
    <Card title="Timeline">
      <ol class="timeline">
        {shown.map((entry, at) => {
          const state = stateOf(entry, now);
          const took = ENDS.has(entry.what) ? spanText(begun.get(entry.attempt) ?? null, entry.at) : undefined;
          return (
            <li key={at} data-state={state} title={titleOf(entry)}>
              {state ? <StateIcon state={state} /> : <span class={entry.what === "act" ? "start act" : "start"} />}
              <span class="grow cut">{wordsOf(entry, now)}</span>
              <span class="dim small nowrap">
                {took && `${took} · `}
                <Time at={entry.at} />
              </span>
            </li>
          );
        })}
      </ol>
      {shown.length < entries.length && (
        <Button small kind="plain" onClick={() => setAll(true)}>
          Show {entries.length - shown.length} more
        </Button>
      )}
    </Card>
  );
}

const ENDS = new Set(["completed", "retrying", "failed", "cancelled", "delayed", "blocked", "waiting", "rescued"]);

function stateOf(entry: Happened, now: State): State | undefined {
  if (entry.what === "started") return "active";
  if (entry.what === "rescued") return "retrying";
  if (entry.what === "ended") return now;
  if (entry.what === "due") return now === "delayed" ? "delayed" : "retrying";
  return STATES.find((state) => state === entry.what);
}

function wordsOf(entry: Happened, now: State): string {
  switch (entry.what) {
    case "created":
      return "created";
    case "started":
      return `attempt ${entry.attempt}`;
    case "act":
      return `${entry.cause} by ${entry.actor}`;
    case "step":
      return `step ${entry.detail?.step ?? ""}`;
    case "due":
      return now === "failed" ? "retried by itself" : now === "delayed" ? "may run" : "next attempt";
    case "ended":
      return `${now}${entry.cause ? `: ${entry.cause}` : ""}`;
    case "rescued":
      return "worker lost";
    case "blocked":
      return "waits";
    default:
      return entry.error ? entry.error.type : (entry.cause ?? entry.what);
  }
}

function titleOf(entry: Happened): string {
  const error = entry.error ? `${entry.error.type}: ${entry.error.message}` : "";
  return [entry.what, error || entry.cause, entry.worker && `on ${entry.worker}`].filter(Boolean).join("\n");
}

function spanText(from: string | null, to: string | null): string | undefined {
  const seconds = between(from, to);
  return seconds === null ? undefined : duration(seconds);
}

export function Facts({ job }: { job: JobView }): JSX.Element {
  const ran = job.started_at && (job.state === "active" || job.finished_at);
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
        {ran && (
          <Fact name="Waited">
            <Span from={job.run_at} to={job.started_at} />
          </Fact>
        )}
        {ran && (
          <Fact name={job.state === "active" ? "Running for" : "Ran"}>
            <Span from={job.started_at} to={job.finished_at} />
          </Fact>
        )}
        {job.expires_at && (
          <Fact name="Expires">
            <Time at={job.expires_at} />
          </Fact>
        )}
        {job.cost !== null && Number(job.cost) !== 0 && <Fact name="Cost">{cost(Number(job.cost))}</Fact>}
        {job.next_retry_at && (
          <Fact name="Retried by itself">
            <Time at={job.next_retry_at} />
          </Fact>
        )}
        {job.revivals > 0 && <Fact name="Revived">{plural(job.revivals, "time")}</Fact>}
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
