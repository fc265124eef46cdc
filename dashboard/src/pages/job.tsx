/** One job: what went wrong, why it waits, what it was given and gave, its attempts, steps, log and history. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { useRoute } from "preact-iso";
import { type Answer, ask, get, Problem, part } from "../api/client";
import type { Explanation, History, JobView, LogView, StepRecord } from "../api/types";
import { href } from "../config";
import { JobActs } from "../job/acts";
import { Attempts } from "../job/attempts";
import { Facts, Relations, Timeline } from "../job/facts";
import { Gone } from "../job/gone";
import { useLoad } from "../state/load";
import { useAddress } from "../state/url";
import { duration, plural } from "../text/format";
import { dig, readJson, textOf } from "../text/json";
import { Card, Command, Copy, Empty, Failure, PageHead, Pill, Progress, Waiting } from "../ui/basics";
import { JsonTree } from "../ui/json";
import { StateChip } from "../ui/state";
import { Tabs } from "../ui/tabs";
import { Time } from "../ui/time";

const LIVE = ["blocked", "delayed", "waiting", "retrying"];

interface Whole {
  answer: Answer<JobView>;
  history: History;
  log: LogView[];
  steps: Answer<StepRecord[]>;
  explanation: Explanation | null;
}

async function readWhole(id: string, signal: AbortSignal): Promise<Whole> {
  const path = `/jobs/${part(id)}`;
  const [answer, history, log, steps] = await Promise.all([
    ask<JobView>("GET", path, { signal }),
    get<History>(`${path}/history`, undefined, signal),
    get<LogView[]>(`${path}/log`, undefined, signal),
    ask<StepRecord[]>("GET", `${path}/steps`, { signal }),
  ]);
  const waits = LIVE.includes(answer.data.state);
  const explanation = waits ? await get<Explanation>(`${path}/explain`, undefined, signal) : null;
  return { answer, history, log, steps, explanation };
}

/** A job, or the history of one that is gone. */
async function readJob(id: string, signal: AbortSignal): Promise<Whole | History> {
  try {
    return await readWhole(id, signal);
  } catch (error) {
    if (!(error instanceof Problem && error.status === 404)) throw error;
    return get<History>(`/jobs/${part(id)}/history`, undefined, signal);
  }
}

export default function JobPage(): JSX.Element {
  const id = useRoute().params.id ?? "";
  const { data, error, reload } = useLoad((signal) => readJob(id, signal), [id], {
    on: (event) =>
      event.event !== "jobs" ||
      event.data.changes.some((change) => change.ids.includes(id) || change.count > change.ids.length),
    every: 1000,
  });
  if (data && "timeline" in data && data.id === id) return <Gone history={data} />;
  if (!data || "timeline" in data || data.answer.data.id !== id) {
    return (
      <>
        <PageHead title="Job" />
        <Waiting error={error} retry={reload} />
      </>
    );
  }
  return <Shown whole={data} error={error} reload={reload} />;
}

function Shown({ whole, error, reload }: { whole: Whole; error?: Error; reload: () => void }): JSX.Element {
  const job = whole.answer.data;
  return (
    <>
      <PageHead
        title={job.name ? `${job.kind} · ${job.name}` : job.kind}
        acts={<JobActs job={job} text={whole.answer.text} done={reload} />}
      >
        <StateChip state={job.state}>{job.cancelling ? "cancelling" : job.state}</StateChip>
        <span class="row id-line">
          <code class="dim break">{job.id}</code>
          <Copy text={job.id} label="Copy the id" />
        </span>
      </PageHead>
      {error && <Failure error={error} retry={reload} />}
      <div class="columns">
        <div class="stack roomy">
          <Wrong job={job} />
          {job.state === "active" && <Running job={job} />}
          {whole.explanation && <Why found={whole.explanation} />}
          <Details whole={whole} />
        </div>
        <div class="stack roomy">
          <Timeline state={job.state} entries={whole.history.timeline} />
          <Facts job={job} />
          <Relations job={job} />
        </div>
      </div>
    </>
  );
}

/** Why it ended, or why its last attempt failed. */
function Wrong({ job }: { job: JobView }): JSX.Element | null {
  const over = job.state === "failed" || job.state === "cancelled";
  if (job.state === "completed" || !(job.error || (over && job.reason))) return null;
  const again = job.state === "retrying" || job.state === "waiting" || job.state === "active";
  return (
    <Card
      class={job.state === "failed" ? "wrong failed" : "wrong"}
      title={
        <span class="row">
          <span class={job.state === "failed" ? "bad" : ""}>{job.error ? job.error.type : "Reason"}</span>
          {again && job.error && <Pill>last attempt</Pill>}
        </span>
      }
      acts={
        job.error && (
          <a href={`${href("/jobs")}?q=${encodeURIComponent(`error:${job.error.fingerprint}`)}`} class="small">
            Jobs with this error
          </a>
        )
      }
    >
      <div class="stack">
        <p class="message break">{job.error?.message ?? job.reason}</p>
        {job.error && job.reason && job.reason !== job.error.message && <p class="soft break">{job.reason}</p>}
        {job.error?.traceback && (
          <details open={job.state === "failed"}>
            <summary>Traceback</summary>
            {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by the keyboard */}
            <pre class="trace" tabIndex={0}>
              {job.error.traceback}
            </pre>
          </details>
        )}
      </div>
    </Card>
  );
}

function Running({ job }: { job: JobView }): JSX.Element {
  return (
    <Card title="Running">
      <div class="stack tight">
        <Progress value={job.progress} note={job.progress_note} full />
        <span class="soft">
          on <a class="under" href={href("/workers", job.worker ?? "")}>{job.worker}</a>, since <Time at={job.started_at} />
        </span>
      </div>
    </Card>
  ); // biome-ignore format: one line
}

function Why({ found }: { found: Explanation }): JSX.Element {
  const blocking = found.reasons.filter((reason) => reason.blocks !== false);
  return (
    <Card
      title="Why is it not running?"
      acts={
        <span class="small soft">
          {found.position !== null && `number ${found.position} in line`}
          {found.position !== null && found.estimate !== null && " · "}
          {found.estimate !== null && `starts in about ${duration(found.estimate)}`}
        </span>
      }
    >
      <ul class="stack">
        {found.reasons.map((reason) => (
          <li key={reason.code + reason.text} class="row wrap apart reason">
            <span class="row grow">
              <Pill tone={reason.blocks === false ? "dim" : "warn"}>{reason.code}</Pill>
              <span class="break">
                {reason.text}
                {reason.until && (
                  <span class="soft">
                    {" "}
                    – <Time at={reason.until} />
                  </span>
                )}
              </span>
            </span>
            {reason.mend && <Command text={reason.mend} />}
          </li>
        ))}
        {!found.reasons.length && <li>Nothing holds it back: the next free worker takes it.</li>}
        {found.reasons.length > 0 && !blocking.length && <li class="soft">Nothing blocks it.</li>}
      </ul>
    </Card>
  );
}

function Details({ whole }: { whole: Whole }): JSX.Element {
  const { query, set } = useAddress();
  const job = whole.answer.data;
  const text = whole.answer.text;
  const json = readJson(text);
  const tabs = [
    { key: "data", title: "Data" },
    { key: "attempts", title: "Attempts", count: whole.history.attempts.length },
    { key: "log", title: "Log", count: whole.log.length },
    ...(whole.steps.data.length ? [{ key: "steps", title: "Steps", count: whole.steps.data.length }] : []),
    { key: "history", title: "History", count: whole.history.acts.length },
    { key: "options", title: "Options" },
  ];
  const at = tabs.some((tab) => tab.key === query.tab) ? query.tab! : "data";
  return (
    <section class="card">
      <Tabs
        tabs={tabs}
        at={at}
        onChange={(key) => set({ tab: key === "data" ? undefined : key }, true)}
        label="Details"
      >
        <div class="pad">
          {at === "data" && (
            <div class="stack">
              <h3>Arguments</h3>
              <JsonTree text={textOf(text, dig(json, "args")) || "{}"} label="the arguments" />
              {job.state === "completed" && (
                <>
                  <h3>Result</h3>
                  <JsonTree text={textOf(text, dig(json, "result")) || "null"} label="the result" />
                </>
              )}
            </div>
          )}
          {at === "attempts" && <Attempts attempts={whole.history.attempts} log={whole.log} />}
          {at === "log" && <Log lines={whole.log} />}
          {at === "steps" && <Steps answer={whole.steps} />}
          {at === "history" && <Acts history={whole.history} />}
          {at === "options" && <JsonTree text={textOf(text, dig(json, "options")) || "{}"} label="the options" />}
        </div>
      </Tabs>
    </section>
  );
}

export function Log({ lines }: { lines: readonly LogView[] }): JSX.Element {
  const [text, setText] = useState("");
  if (!lines.length) return <Empty title="It has logged nothing">Handlers log with ctx.log("...").</Empty>;
  const shown = lines.filter((line) => line.text.toLowerCase().includes(text.toLowerCase()));
  return (
    <div class="stack">
      {lines.length > 20 && (
        <input
          type="search"
          aria-label="Find in the log"
          placeholder="find in the log"
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
      )}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by the keyboard */}
      <ol class="log" tabIndex={0} aria-label="Log lines">
        {shown.map((line, at) => (
          <li key={at} data-level={line.level}>
            <Time at={line.at} />
            <span class="level">{line.level}</span>
            <span class="break">{line.text}</span>
          </li>
        ))}
      </ol>
      {shown.length < lines.length && <span class="dim">{plural(lines.length - shown.length, "line")} hidden</span>}
    </div>
  );
}

function Steps({ answer }: { answer: Answer<StepRecord[]> }): JSX.Element {
  const json = readJson(answer.text);
  return (
    <ol class="stack">
      {answer.data.map((step, at) => {
        const result = textOf(answer.text, dig(json, at, "result"));
        return (
          <li key={step.position} class="stack tight">
            <span class="row wrap">
              <Pill tone={step.done ? "ok" : "note"}>{step.done ? "done" : "under way"}</Pill>
              <strong>
                {step.what === "signal" ? `waits for “${step.name}”` : step.what === "sleep" ? "sleeps" : step.name}
              </strong>
              <span class="dim">
                attempt {step.attempt}, <Time at={step.at} />
              </span>
              {!step.done && step.until && (
                <span class="soft">
                  until <Time at={step.until} />
                </span>
              )}
              {step.timed_out && <Pill tone="warn">timed out</Pill>}
            </span>
            {step.done && result && result !== "null" && <JsonTree text={result} label="the step's result" />}
          </li>
        );
      })}
    </ol>
  );
}

function Acts({ history }: { history: History }): JSX.Element {
  if (!history.acts.length) return <Empty icon="audit" title="Nobody has done anything to it from outside" />;
  return (
    <ul class="stack">
      {history.acts.map((act, at) => (
        <li key={at} class="row wrap">
          <strong>{act.action}</strong>
          <span>by {act.actor}</span>
          <span class="dim">
            <Time at={act.at} full />
          </span>
        </li>
      ))}
    </ul>
  );
}
