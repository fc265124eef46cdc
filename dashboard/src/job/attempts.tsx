/** The attempts of a job, newest first, each with its error and log; two of them side by side. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { AttemptView, LogView } from "../api/types";
import { duration, plural } from "../text/format";
import { between } from "../text/moments";
import { Button, Empty, Pill, type Tone } from "../ui/basics";
import { Dialog } from "../ui/overlay";
import { Time } from "../ui/time";

const OUTCOMES: Record<string, [string, Tone]> = {
  complete: ["completed", "ok"],
  retry: ["failed, tried again", "warn"],
  fail: ["failed for good", "bad"],
  abort: ["cancelled", "dim"],
  active: ["running", "note"],
  snooze: ["snoozed", "dim"],
  release: ["given back", "dim"],
  rescue: ["worker lost", "warn"],
};

export function Attempts({
  attempts,
  log,
}: {
  attempts: readonly AttemptView[];
  log: readonly LogView[];
}): JSX.Element {
  const [picked, setPicked] = useState<readonly number[]>([]);
  const [open, setOpen] = useState(false);
  if (!attempts.length) return <Empty icon="play" title="It has not been tried yet" />;
  const newest = attempts.map((attempt, place) => ({ attempt, place })).reverse();
  const pick = (place: number): void => {
    setPicked(picked.includes(place) ? picked.filter((each) => each !== place) : [...picked, place].slice(-2));
  };
  return (
    <div class="stack">
      {attempts.length > 1 && (
        <div class="row wrap">
          <Button small icon="columns" disabled={picked.length !== 2} onClick={() => setOpen(true)}>
            Compare two attempts
          </Button>
          <span class="dim small">{picked.length === 2 ? "" : `choose ${plural(2 - picked.length, "attempt")}`}</span>
        </div>
      )}
      <ol class="attempts">
        {newest.map(({ attempt, place }, order) => (
          <li key={place}>
            <div class="row wrap">
              {attempts.length > 1 && (
                <input
                  type="checkbox"
                  aria-label={`Choose attempt ${attempt.number}`}
                  checked={picked.includes(place)}
                  onChange={() => pick(place)}
                />
              )}
              <strong>Attempt {attempt.number}</strong>
              <Outcome attempt={attempt} />
              <span class="dim small">
                <Time at={attempt.started_at} /> {took(attempt) && `· took ${took(attempt)}`}
                {attempt.worker && ` · on ${attempt.worker}`}
              </span>
            </div>
            {attempt.error && (
              <details open={order === 0}>
                <summary class="break">
                  {attempt.error.type}: {attempt.error.message}
                </summary>
                {attempt.error.traceback && (
                  // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by the keyboard
                  <pre class="trace" tabIndex={0}>
                    {attempt.error.traceback}
                  </pre>
                )}
              </details>
            )}
            {!attempt.error && attempt.reason && <p class="soft break">{attempt.reason}</p>}
            <OwnLog lines={log.filter((line) => line.attempt === attempt.number)} />
          </li>
        ))}
      </ol>
      {open && picked.length === 2 && <Compare pair={[...picked].sort((a, b) => a - b).map((place) => attempts[place]!)} onClose={() => setOpen(false)} />}
    </div>
  ); // biome-ignore format: the dialog in one line
}

function Outcome({ attempt }: { attempt: AttemptView }): JSX.Element {
  const [words, tone] = OUTCOMES[attempt.outcome] ?? [attempt.outcome, "dim"];
  return <Pill tone={tone}>{words}</Pill>;
}

function took(attempt: AttemptView): string {
  const seconds = between(attempt.started_at, attempt.finished_at);
  return seconds === null ? "" : duration(seconds);
}

function OwnLog({ lines }: { lines: readonly LogView[] }): JSX.Element | null {
  if (!lines.length) return null;
  return (
    <details>
      <summary class="small soft">{plural(lines.length, "log line")}</summary>
      <ul class="log flat">
        {lines.slice(-100).map((line, at) => (
          <li key={at} data-level={line.level}>
            <Time at={line.at} />
            <span class="level">{line.level}</span>
            <span class="break">{line.text}</span>
          </li>
        ))}
      </ul>
    </details>
  );
}

const FIELDS: readonly [string, (attempt: AttemptView) => string][] = [
  ["outcome", (attempt) => OUTCOMES[attempt.outcome]?.[0] ?? attempt.outcome],
  ["worker", (attempt) => attempt.worker ?? ""],
  ["took", took],
  ["error", (attempt) => (attempt.error ? `${attempt.error.type}: ${attempt.error.message}` : "")],
  ["category", (attempt) => attempt.error?.category ?? ""],
  ["fingerprint", (attempt) => attempt.error?.fingerprint ?? ""],
  ["reason", (attempt) => attempt.reason ?? ""],
];

/** Field by field; what differs is marked. */
function Compare({ pair, onClose }: { pair: readonly AttemptView[]; onClose: () => void }): JSX.Element {
  const [first, second] = pair as [AttemptView, AttemptView];
  const lines = diff(first.error?.traceback ?? "", second.error?.traceback ?? "");
  return (
    <Dialog title={`Attempt ${first.number} and attempt ${second.number}`} onClose={onClose} wide>
      <div class="table-box">
        <table class="table">
          <thead>
            <tr>
              <th scope="col">
                <span class="hidden-visually">field</span>
              </th>
              <th scope="col">Attempt {first.number}</th>
              <th scope="col">Attempt {second.number}</th>
            </tr>
          </thead>
          <tbody>
            {FIELDS.map(([name, read]) => {
              const [a, b] = [read(first), read(second)];
              return (
                <tr key={name} class={a === b ? "" : "chosen"}>
                  <th scope="row">{name}</th>
                  <td class="break">{a || "–"}</td>
                  <td class="break">
                    {b || "–"} {a !== b && <Pill tone="warn">differs</Pill>}
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      {lines && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by the keyboard
        <pre class="trace" tabIndex={0}>
          {lines}
        </pre>
      )}
    </Dialog>
  );
}

/** The lines that only one of two tracebacks has. */
function diff(first: string, second: string): string {
  if (!first || !second) return "";
  if (first === second) return "The tracebacks are the same.";
  const [a, b] = [first.split("\n"), second.split("\n")];
  const [inA, inB] = [new Set(a), new Set(b)];
  return [
    ...a.filter((line) => !inB.has(line)).map((line) => `- ${line}`),
    ...b.filter((line) => !inA.has(line)).map((line) => `+ ${line}`),
  ].join("\n");
}
