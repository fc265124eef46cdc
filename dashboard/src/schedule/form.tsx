/** The form of a schedule, with the times it means as they are typed. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ask, get, part, post } from "../api/client";
import type { Listing } from "../api/types";
import { useLoad } from "../state/load";
import { zone } from "../state/prefs";
import { pretty, readJson } from "../text/json";
import { absolute } from "../text/moments";
import { Button, Failure, Pill } from "../ui/basics";
import { Dialog, toast } from "../ui/overlay";

export interface ScheduleView {
  key: string;
  when: string;
  timezone: string;
  kind: string;
  queue: string;
  args: Record<string, unknown>;
  overlap: string;
  missed: string;
  jitter: number;
  owner: string | null;
  paused: boolean;
  next_at: string | null;
  last_at: string | null;
  last_job: string | null;
  fired: number;
}

export interface Occurrence {
  at: string;
  mark: "gap" | "fold" | null;
}

const OVERLAPS = {
  skip: "skip it while the last run goes on",
  queue: "let it wait for the last run",
  cancel_previous: "cancel the last run",
};
const MISSED = {
  run_once: "run once for all that were missed",
  skip: "skip them",
  run_all: "run each, up to a hundred",
};
const MARKS = {
  gap: "the clock skips this time: it runs right after",
  fold: "the clock shows this time twice: it runs once",
};

/** Due times, with those marked at which clocks are turned. */
export function Occurrences({ times }: { times: readonly Occurrence[] }): JSX.Element {
  if (!times.length) return <p class="dim">It never fires again.</p>;
  return (
    <ol class="stack tight">
      {times.map((time) => (
        <li key={time.at} class="row wrap">
          <time dateTime={time.at}>{absolute(Date.parse(time.at), zone.value)}</time>
          {time.mark && (
            <Pill tone="warn" title={MARKS[time.mark]}>
              {time.mark === "gap" ? "skipped hour" : "doubled hour"}
            </Pill>
          )}
        </li>
      ))}
    </ol>
  );
}

/** A new schedule, or (`schedule`) another timing and job for one that is there. */
export function ScheduleDialog(props: { schedule?: ScheduleView; onClose: () => void; done: () => void }): JSX.Element {
  const known = props.schedule;
  const [key, setKey] = useState(known?.key ?? "");
  const [kind, setKind] = useState(known?.kind ?? "");
  const [args, setArgs] = useState(() => pretty(JSON.stringify(known?.args ?? {})));
  const [timing, setTiming] = useState(() => timingOf(known));
  const [overlap, setOverlap] = useState(known?.overlap ?? "skip");
  const [missed, setMissed] = useState(known?.missed ?? "run_once");
  const [error, setError] = useState<Error | null>(null);
  const save = async (event: Event): Promise<void> => {
    event.preventDefault();
    const policies = JSON.stringify({ ...timing.body, overlap, missed }).slice(1, -1);
    const job = `{"kind": ${JSON.stringify(kind)}, "args": ${args}}`;
    try {
      readJson(args);
      await ask("PUT", `/schedules/${part(key)}`, { raw: `{"job": ${job}, ${policies}}` });
      toast("ok", `${key} is scheduled`);
      props.onClose();
      props.done();
    } catch (problem) {
      setError(problem as Error);
    }
  };
  return (
    <Dialog title={known ? `Edit ${known.key}` : "New schedule"} onClose={props.onClose} wide>
      <form class="stack" onSubmit={save}>
        <div class="grid" style={{ "--least": "220px" }}>
          <Text label="Name" value={key} onInput={setKey} disabled={!!known} />
          <KindField value={kind} onInput={setKind} />
        </div>
        <TimingFields timing={timing} onChange={setTiming} />
        <label class="field">
          Arguments (JSON)
          <textarea rows={4} spellcheck={false} value={args} onInput={(event) => setArgs(event.currentTarget.value)} />
        </label>
        <div class="grid" style={{ "--least": "220px" }}>
          <Choice label="When the last run still goes on" words={OVERLAPS} value={overlap} onChange={setOverlap} />
          <Choice label="When times were missed" words={MISSED} value={missed} onChange={setMissed} />
        </div>
        {error && <Failure error={error} />}
        <div class="row apart">
          <Button onClick={props.onClose}>Leave it</Button>
          <Button kind="main" submit disabled={!key.trim() || !kind.trim()}>
            Keep
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

interface TimingState {
  way: "cron" | "every" | "at";
  text: string;
  timezone: string;
  body: Record<string, string>;
}

function timing(way: TimingState["way"], text: string, timezone: string): TimingState {
  const at = way === "at" && text ? new Date(text).toISOString() : text;
  return { way, text, timezone, body: way === "at" ? { at } : { [way]: text.trim(), timezone } };
}

function timingOf(schedule: ScheduleView | undefined): TimingState {
  if (!schedule) return timing("cron", "0 6 * * *", Intl.DateTimeFormat().resolvedOptions().timeZone);
  const every = /^every (.+)$/.exec(schedule.when);
  if (every) return timing("every", every[1]!.replaceAll(" ", ""), schedule.timezone);
  return timing("cron", schedule.when.replace(/^cron /, "").replaceAll('"', ""), schedule.timezone);
}

const WAYS = { cron: "cron", every: "every so often", at: "once" };
const HINTS = { cron: "0 6 * * 1-5 or @daily", every: "5m, 2h, 1d", at: "" };

function TimingFields({
  timing: now,
  onChange,
}: {
  timing: TimingState;
  onChange: (now: TimingState) => void;
}): JSX.Element {
  const [times, setTimes] = useState<Occurrence[] | null>(null);
  const [error, setError] = useState<Error | null>(null);
  useEffect(() => {
    if (!now.text.trim()) return;
    let current = true;
    const timer = setTimeout(async () => {
      try {
        const found = await post<Occurrence[]>("/schedules/preview", { ...now.body, count: 5 });
        if (!current) return;
        setTimes(found);
        setError(null);
      } catch (problem) {
        if (current) setError(problem as Error);
      }
    }, 300);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [now.way, now.text, now.timezone]);
  return (
    <div class="grid" style={{ "--least": "260px" }}>
      <div class="stack">
        <Choice label="When" words={WAYS} value={now.way} onChange={(way) => onChange(timing(way as TimingState["way"], "", now.timezone))} />
        {now.way === "at" ? (
          <label class="field">
            At, in this browser's time
            <input type="datetime-local" required value={now.text} onInput={(event) => onChange(timing("at", event.currentTarget.value, now.timezone))} />
          </label>
        ) : (
          <Text label={now.way === "cron" ? "Expression" : "Interval"} hint={HINTS[now.way]} value={now.text} onInput={(text) => onChange(timing(now.way, text, now.timezone))} />
        )}
        {now.way !== "at" && <Text label="Time zone" value={now.timezone} onInput={(name) => onChange(timing(now.way, now.text, name))} />}
      </div>
      <div aria-live="polite">
        <p class="label">The next times</p>
        {error ? <Failure error={error} /> : times && <Occurrences times={times} />}
      </div>
    </div>
  ); // biome-ignore format: one field a line
}

function KindField({ value, onInput }: { value: string; onInput: (text: string) => void }): JSX.Element {
  const { data } = useLoad((signal) => get<Listing<{ name: string }>>("/kinds", undefined, signal), [], {
    on: () => false,
  });
  return (
    <label class="field">
      Kind of job
      <input type="text" required list="kinds" value={value} onInput={(event) => onInput(event.currentTarget.value)} />
      <datalist id="kinds">
        {data?.items.map((kind) => (
          <option key={kind.name} value={kind.name} />
        ))}
      </datalist>
    </label>
  );
}

function Text(props: {
  label: string;
  value: string;
  onInput: (text: string) => void;
  hint?: string;
  disabled?: boolean;
}): JSX.Element {
  return (
    <label class="field">
      {props.label}
      <input
        type="text"
        required
        placeholder={props.hint}
        disabled={props.disabled}
        value={props.value}
        onInput={(event) => props.onInput(event.currentTarget.value)}
      />
    </label>
  );
}

function Choice(props: {
  label: string;
  words: Record<string, string>;
  value: string;
  onChange: (value: string) => void;
}): JSX.Element {
  return (
    <label class="field">
      {props.label}
      <select value={props.value} onChange={(event) => props.onChange(event.currentTarget.value)}>
        {Object.entries(props.words).map(([value, words]) => (
          <option key={value} value={value}>
            {words}
          </option>
        ))}
      </select>
    </label>
  );
}
