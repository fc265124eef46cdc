/** Errors: failures by what they have in common, and the dead letters they left. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { get, part, post } from "../api/client";
import type { JobView, Listing } from "../api/types";
import { href, hrefWith } from "../config";
import { useLoad } from "../state/load";
import { can } from "../state/session";
import { useAddress } from "../state/url";
import { compact, count, plural } from "../text/format";
import { Button, Card, Empty, Figure, Notice, PageHead, Pill, Waiting } from "../ui/basics";
import { attempt, confirm, Dialog, toast } from "../ui/overlay";
import { Spark } from "../ui/spark";
import { type Column, Paging, Table } from "../ui/table";
import { Time } from "../ui/time";

interface Group {
  fingerprint: string;
  type: string;
  message: string;
  category: string;
  can_retry: boolean;
  letters: number;
  attempts: number;
  failures: number;
  trend: number[];
  first: string | null;
  last: string | null;
  sample: string | null;
  first_seen: string | null;
  version: string | null;
  is_new: boolean;
  kinds: string[];
  queues: string[];
  mark: "open" | "resolved" | "ignored";
  marked_by: string | null;
  trace: string;
}

interface Letter extends JobView {
  can_retry: boolean;
  archived: boolean;
}

interface Stats {
  total: number;
  retryable: number;
  scheduled: number;
  archived: number;
}

const NONE = "none";
const OFTEN = { every: 3000, period: 15_000 };

/** How a group is named in addresses: the one without an error has no fingerprint. */
function nameOf(group: Group): string {
  return group.fingerprint || NONE;
}

export default function Errors(): JSX.Element {
  const { query, set } = useAddress();
  const mark = query.mark ?? "open";
  const groups = useLoad(
    (signal) => get<Listing<Group>>("/errors", { mark: mark === "all" ? undefined : mark, limit: 200 }, signal),
    [mark],
    OFTEN,
  );
  const stats = useLoad((signal) => get<Stats>("/dead-letters/stats", undefined, signal), [], OFTEN);
  const chosen = groups.data?.items.find((group) => nameOf(group) === query.group);
  const reload = (): void => {
    groups.reload();
    stats.reload();
  };
  return (
    <>
      <PageHead title="Errors" acts={can("jobs:change") && stats.data ? <Everything stats={stats.data} done={reload} /> : undefined}>
        {groups.data && <span class="soft">{plural(groups.data.items.length, "group")}</span>}
      </PageHead>
      {stats.data && <Totals stats={stats.data} />}
      <Card
        title="By what they have in common"
        acts={
          <select aria-label="Which groups" value={mark} onChange={(event) => set({ mark: event.currentTarget.value === "open" ? undefined : event.currentTarget.value })}>
            <option value="open">open</option>
            <option value="resolved">resolved</option>
            <option value="ignored">ignored</option>
            <option value="all">all</option>
          </select>
        }
        flush
      >
        {!groups.data ? (
          <div class="pad">
            <Waiting error={groups.error} retry={groups.reload} />
          </div>
        ) : (
          <Table
            label="Error groups"
            name="errors"
            rows={groups.data.items}
            rowKey={nameOf}
            columns={columns(query.group, (group) => set({ group, cursor: undefined }))}
            onOpen={(group) => set({ group: nameOf(group), cursor: undefined })}
            rowClass={(group) => (nameOf(group) === query.group ? "chosen" : "")}
            empty={<Empty icon="check" title={mark === "open" ? "No error is open" : "No such group"}>Nothing failed in the last 24 hours, and there are no dead letters of this kind.</Empty>}
          />
        )}
      </Card>
      {chosen && <Details key={nameOf(chosen)} group={chosen} reload={reload} />}
    </>
  ); // biome-ignore format: one part a line
}

function Totals({ stats }: { stats: Stats }): JSX.Element {
  return (
    <Card>
      <div class="figures">
        <Figure label="Dead letters" value={compact(stats.total)} tone={stats.total ? "bad" : undefined} />
        <Figure label="Trying again may help" value={compact(stats.retryable)} hint="the others failed for good reason" />
        <Figure label="Retried by themselves" value={compact(stats.scheduled)} hint="have a time of their own" />
        <Figure label="Archived" value={compact(stats.archived)} hint="past automatic retry" />
      </div>
    </Card>
  ); // biome-ignore format: one figure a line
}

function columns(chosen: string | undefined, choose: (name: string | undefined) => void): readonly Column<Group>[] {
  return [
    { key: "what", title: "Error", cell: (group) => <What group={group} chosen={nameOf(group) === chosen} choose={choose} /> },
    { key: "trend", title: "24 hours", width: "fit", from: "md", cell: (group) => <Spark tone="bad" label={`failures of ${group.type} by hour`} values={group.trend} /> },
    { key: "letters", title: "Dead", width: "fit", num: true, cell: (group) => count(group.letters) },
    { key: "attempts", title: "Failed tries", width: "fit", num: true, from: "lg", cell: (group) => compact(group.attempts) },
    { key: "kinds", title: "Kinds", from: "xl", cell: (group) => <span class="small break">{group.kinds.join(", ")}</span> },
    { key: "first", title: "First seen", width: "fit", from: "lg", cell: (group) => <Time at={group.first_seen ?? group.first} /> },
    { key: "last", title: "Last", width: "fit", cell: (group) => <Time at={group.last} /> },
  ]; // biome-ignore format: one column a line
}

function What(props: { group: Group; chosen: boolean; choose: (name: string | undefined) => void }): JSX.Element {
  const { group, chosen, choose } = props;
  return (
    <div class="stack tight">
      <span class="row wrap">
        <button type="button" class="link strong break" aria-expanded={chosen} onClick={() => choose(chosen ? undefined : nameOf(group))}>
          {group.type || "without an error"}
        </button>
        {group.is_new && <Pill tone="bad" title={`first met by version ${group.version}`}>new</Pill>}
        {!group.can_retry && <Pill tone="dim" title="trying again does not help">permanent</Pill>}
        {group.mark !== "open" && <Pill>{group.mark}</Pill>}
      </span>
      <span class="small soft clip">{group.message}</span>
    </div>
  ); // biome-ignore format: one mark a line
}

function Details({ group, reload }: { group: Group; reload: () => void }): JSX.Element {
  const { query, set } = useAddress();
  const path = `/errors/${part(nameOf(group))}`;
  const letters = useLoad(
    (signal) => get<Listing<Letter>>("/dead-letters", { fingerprint: group.fingerprint, cursor: query.cursor, limit: 25 }, signal),
    [group.fingerprint, query.cursor],
    { every: 2000, period: 15_000 },
  ); // biome-ignore format: one thought
  const next = letters.data?.next_cursor;
  return (
    <>
      <Card title={group.type || "Without an error"} acts={can("jobs:change") && <GroupActs group={group} path={path} reload={reload} />}>
        <div class="stack">
          <p class="break">{group.message}</p>
          <dl class="facts">
            <dt>First seen</dt>
            <dd>
              <Time at={group.first_seen ?? group.first} full /> {group.version && <>by version {group.version}</>}
            </dd>
            <dt>Queues</dt>
            <dd>{group.queues.map((queue) => <a key={queue} href={href("/queues", queue)}>{queue} </a>)}</dd>
            <dt>Kinds</dt>
            <dd class="break">{group.kinds.join(", ") || "–"}</dd>
            <dt>Fingerprint</dt>
            <dd><code>{group.fingerprint || "–"}</code></dd>
          </dl>
          {group.mark !== "open" && (
            <Notice tone="note">
              {group.mark === "resolved" ? "It comes back when it happens again." : "It stays out of sight until it is reopened."}
              {group.marked_by && ` Marked by ${group.marked_by}.`}
            </Notice>
          )}
          {group.trace && (
            <details open>
              <summary>Traceback of a sample</summary>
              {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys */}
              <pre class="trace" tabIndex={0}>
                {group.trace}
              </pre>
            </details>
          )}
        </div>
      </Card>
      <Card title="Its dead letters" acts={<a href={hrefWith("/jobs", { q: `state:failed error:${group.fingerprint}` })}>In the list of jobs</a>} flush>
        {!letters.data ? (
          <div class="pad">
            <Waiting error={letters.error} retry={letters.reload} />
          </div>
        ) : (
          <>
            <Table
              label="Dead letters of this error"
              rows={letters.data.items}
              rowKey={(letter) => letter.id}
              columns={LETTERS}
              empty={<Empty icon="check" title="No dead letter is left">Attempts failed with it, but their jobs went on.</Empty>}
            />
            <Paging
              words="the newest first"
              newest={query.cursor ? () => set({ cursor: undefined }) : undefined}
              older={next ? () => set({ cursor: next }) : undefined}
            />
          </>
        )}
      </Card>
    </>
  ); // biome-ignore format: one fact a line
}

const LETTERS: readonly Column<Letter>[] = [
  { key: "kind", title: "Job", cell: (letter) => <a href={href("/jobs", letter.id)} class="break">{letter.kind}</a> },
  { key: "queue", title: "Queue", width: "fit", from: "md", cell: (letter) => letter.queue },
  { key: "tries", title: "Tries", width: "fit", num: true, from: "md", cell: (letter) => `${letter.attempt}/${letter.max_attempts}` },
  { key: "again", title: "Retried by itself", width: "fit", from: "lg", cell: (letter) => letter.next_retry_at ? <Time at={letter.next_retry_at} /> : <span class="dim">{letter.archived ? "archived" : letter.can_retry ? "no" : "never"}</span> },
  { key: "when", title: "Failed", width: "fit", cell: (letter) => <Time at={letter.finished_at} /> },
]; // biome-ignore format: one column a line

function GroupActs({ group, path, reload }: { group: Group; path: string; reload: () => void }): JSX.Element {
  const mark = async (verb: string, done: string): Promise<void> => {
    await attempt(() => post(`${path}/${verb}`), done);
    reload();
  };
  return (
    <>
      <Button
        small
        kind="main"
        icon="retry"
        disabled={!group.letters}
        onClick={() =>
          confirm({
            title: `Run ${plural(group.letters, "dead letter")} again?`,
            text: "A job carries it out, none of them twice; it can be stopped while it runs.",
            act: "Run them again",
            run: () => replay(`${path}/replay`, {}).then(reload),
          })
        }
      >
        Retry {group.letters ? count(group.letters) : ""}
      </Button>
      {group.mark === "open" ? (
        <>
          <Button small icon="check" onClick={() => mark("resolve", "Resolved; it is open again when it happens again")}>
            Resolve
          </Button>
          <Button small onClick={() => mark("ignore", "Ignored until it is reopened")}>
            Ignore
          </Button>
        </>
      ) : (
        <Button small onClick={() => mark("reopen", "Open again")}>
          Reopen
        </Button>
      )}
    </>
  ); // biome-ignore format: one act a line
}

/** Begin a replay; its job can be stopped from the message, or looked at. */
async function replay(path: string, body: unknown): Promise<void> {
  await attempt(async () => {
    const { id } = await post<{ id: string }>(path, body);
    toast("ok", <a href={href("/jobs", id)}>They run again: see how far it is</a>, {
      act: { label: "Stop", run: () => void attempt(() => post(`/jobs/${part(id)}/cancel`), "It stops") },
    });
  });
}

function Everything({ stats, done }: { stats: Stats; done: () => void }): JSX.Element {
  const [purging, setPurging] = useState(false);
  return (
    <>
      <Button
        icon="retry"
        disabled={!stats.total}
        onClick={() =>
          confirm({
            title: "Run all dead letters again?",
            text: `${plural(stats.total - stats.archived, "dead letter")} that are not archived, of every queue and error. A job carries it out; it can be stopped.`,
            act: "Run them again",
            run: () => replay("/dead-letters/replay", {}).then(done),
          })
        }
      >
        Retry all
      </Button>
      {can("jobs:delete") && (
        <Button icon="bin" kind="danger" disabled={!stats.total} onClick={() => setPurging(true)}>
          Purge
        </Button>
      )}
      {purging && (
        <Purge
          onClose={() => {
            setPurging(false);
            done();
          }}
        />
      )}
    </>
  ); // biome-ignore format: one act a line
}

function Purge({ onClose }: { onClose: () => void }): JSX.Element {
  const [age, setAge] = useState("30d");
  const purge = async (): Promise<void> => {
    await attempt(async () => {
      const found = await post<{ count: number }>("/dead-letters/purge", { older_than: age });
      toast("ok", `${plural(found.count, "dead letter")} deleted`);
    });
    onClose();
  };
  return (
    <Dialog
      title="Delete old dead letters"
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>Keep them</Button>
          <Button kind="main danger" onClick={purge}>
            Delete for good
          </Button>
        </>
      }
    >
      <label class="field">
        Those that failed longer ago than
        <select value={age} onChange={(event) => setAge(event.currentTarget.value)}>
          <option value="1d">a day</option>
          <option value="7d">7 days</option>
          <option value="30d">30 days</option>
          <option value="90d">90 days</option>
        </select>
      </label>
    </Dialog>
  );
}
