/** Limits and circuit breakers: what holds jobs back, and how much of it is used. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { get, part, post, put, remove } from "../api/client";
import type { Listing } from "../api/types";
import { useLoad } from "../state/load";
import { can } from "../state/session";
import { useAddress } from "../state/url";
import { compact, plural } from "../text/format";
import { Button, Card, Empty, Failure, PageHead, Pill, type Tone, Waiting } from "../ui/basics";
import { attempt, confirm, Dialog, toast } from "../ui/overlay";
import { type Column, Table } from "../ui/table";
import { Tabs } from "../ui/tabs";
import { Time } from "../ui/time";

interface KeyLimit {
  key: string;
  concurrency: number | null;
  rate: string | null;
  burst: number | null;
  held: number;
  used: number;
  waiting: boolean;
  pinned: boolean;
  shut_until: string | null;
  opens_at: string | null;
}

interface Breaker {
  name: string;
  state: "closed" | "open" | "half-open";
  since: string | null;
  opens_at: string | null;
  calls: number;
  failures: number;
  in_a_row: number;
  openings: number;
  running: number;
  waiting: boolean;
  error: string;
}

const OFTEN = { every: 2000, period: 5000 };
const TONES: Record<Breaker["state"], Tone> = { closed: "ok", open: "bad", "half-open": "warn" };

export default function Limits(): JSX.Element {
  const { query, set } = useAddress();
  const [adding, setAdding] = useState(false);
  const tab = query.tab ?? "limits";
  const limits = useLoad((signal) => get<Listing<KeyLimit>>("/limits", undefined, signal), [], OFTEN);
  const breakers = useLoad((signal) => get<Listing<Breaker>>("/breakers", undefined, signal), [], OFTEN);
  const open = breakers.data?.items.filter((breaker) => breaker.state !== "closed").length ?? 0;
  return (
    <>
      <PageHead
        title="Limits"
        acts={
          can("limits:change") && (
            <Button icon="plus" onClick={() => setAdding(true)}>
              Set a limit
            </Button>
          )
        }
      >
        {open > 0 && <Pill tone="bad">{plural(open, "breaker")} open</Pill>}
      </PageHead>
      <Card flush>
        <Tabs
          label="Limits and breakers"
          at={tab}
          onChange={(key) => set({ tab: key === "limits" ? undefined : key })}
          tabs={[
            { key: "limits", title: "Limits", count: limits.data?.items.length },
            { key: "breakers", title: "Breakers", count: breakers.data?.items.length },
          ]}
        >
          {tab === "breakers" ? <Breakers found={breakers} /> : <Keys found={limits} />}
        </Tabs>
      </Card>
      {adding && <LimitDialog onClose={() => setAdding(false)} done={limits.reload} />}
    </>
  );
}

interface Found<T> {
  data?: Listing<T>;
  error?: Error;
  reload: () => void;
}

function Keys({ found }: { found: Found<KeyLimit> }): JSX.Element {
  const [editing, setEditing] = useState<KeyLimit | null>(null);
  if (!found.data) return <Padded found={found} />;
  const clear = (limit: KeyLimit): void =>
    confirm({
      title: `Forget what was set for ${limit.key}?`,
      text: "It is as code declares it again, or free.",
      act: "Forget it",
      run: async () => {
        await attempt(() => remove(`/limits/${part(limit.key)}`), `${limit.key} is as code declares it`);
        found.reload();
      },
    });
  const acts: readonly Column<KeyLimit>[] = can("limits:change")
    ? [{ key: "acts", title: "Acts", width: "fit", cell: (limit) => (
        <span class="row tight">
          <Button small onClick={() => setEditing(limit)}>Set</Button>
          {limit.pinned && <Button small onClick={() => clear(limit)}>Clear</Button>}
        </span>
      ) }]
    : []; // biome-ignore format: one act a line
  return (
    <>
      <Table
        label="Limits"
        name="limits"
        rows={found.data.items}
        rowKey={(limit) => limit.key}
        columns={[...LIMITS, ...acts]}
        empty={
          <Empty
            icon="limits"
            title="Nothing is limited"
            command='app.queue("mail", rate_limit="100/m", concurrency=10)'
          >
            Limits are declared in code, or set here for any key.
          </Empty>
        }
      />
      {editing && <LimitDialog limit={editing} onClose={() => setEditing(null)} done={found.reload} />}
    </>
  );
}

const LIMITS: readonly Column<KeyLimit>[] = [
  { key: "key", title: "Key", cell: (limit) => <span class="row wrap"><strong class="break">{limit.key}</strong>{limit.pinned && <Pill title="set by an operator; code does not change it">set</Pill>}{limit.waiting && <Pill tone="warn">jobs wait</Pill>}</span> },
  { key: "running", title: "Running", width: "fit", cell: (limit) => <Use used={limit.held} of={limit.concurrency} /> },
  { key: "rate", title: "Rate", width: "fit", from: "md", cell: (limit) => limit.rate ?? <span class="dim">–</span> },
  { key: "used", title: "In its window", width: "fit", num: true, from: "md", cell: (limit) => (limit.rate ? compact(limit.used) : <span class="dim">–</span>) },
  { key: "opens", title: "Opens", width: "fit", from: "lg", cell: (limit) => <Time at={limit.shut_until ?? limit.opens_at} /> },
]; // biome-ignore format: one column a line

function Use({ used, of }: { used: number; of: number | null }): JSX.Element {
  if (of === null) return <span class="dim">{compact(used)}</span>;
  return (
    <span class="progress">
      <span class="track">
        <i style={{ width: `${Math.min(100, (used / of) * 100)}%` }} />
      </span>
      {used}/{of}
    </span>
  );
}

function LimitDialog(props: { limit?: KeyLimit; onClose: () => void; done: () => void }): JSX.Element {
  const known = props.limit;
  const [key, setKey] = useState(known?.key ?? "queue:");
  const [concurrency, setConcurrency] = useState(known?.concurrency?.toString() ?? "");
  const [rate, setRate] = useState(known?.rate ?? "");
  const [error, setError] = useState<Error | null>(null);
  const save = async (event: Event): Promise<void> => {
    event.preventDefault();
    const body = { concurrency: concurrency ? Number(concurrency) : null, rate: rate.trim() || null };
    try {
      await put(`/limits/${part(key)}`, body);
      toast("ok", `${key} holds from now on`);
      props.onClose();
      props.done();
    } catch (problem) {
      setError(problem as Error);
    }
  };
  return (
    <Dialog title={known ? `Limit of ${known.key}` : "Set a limit"} onClose={props.onClose}>
      <form class="stack" onSubmit={save}>
        <label class="field">
          Key
          <input type="text" required disabled={!!known} value={key} onInput={(event) => setKey(event.currentTarget.value)} />
          <span class="small soft">queue:mail, kind:resize, provider:openai, or a key of a declared limit</span>
        </label>
        <label class="field">
          At once
          <input type="number" min="1" placeholder="any number" value={concurrency} onInput={(event) => setConcurrency(event.currentTarget.value)} />
        </label>
        <label class="field">
          Rate
          <input type="text" placeholder="any; or 100/m, 10/s, 5/10s" value={rate} onInput={(event) => setRate(event.currentTarget.value)} />
        </label>
        {error && <Failure error={error} />}
        <Button kind="main" submit disabled={!key.trim() || (!concurrency && !rate.trim())}>
          Set it
        </Button>
      </form>
    </Dialog>
  ); // biome-ignore format: one field a line
}

function Breakers({ found }: { found: Found<Breaker> }): JSX.Element {
  if (!found.data) return <Padded found={found} />;
  const act = async (breaker: Breaker, verb: "reset" | "open"): Promise<void> => {
    const words =
      verb === "reset" ? `${breaker.name} is called again` : `${breaker.name} is left alone for ten minutes`;
    const body = verb === "open" ? { duration: "10m" } : {};
    await attempt(() => post(`/breakers/${part(breaker.name)}/${verb}`, verb === "open" ? body : undefined), words);
    found.reload();
  };
  const acts: readonly Column<Breaker>[] = can("limits:change")
    ? [{ key: "acts", title: "Acts", width: "fit", cell: (breaker) =>
        breaker.state === "closed"
          ? <Button small onClick={() => act(breaker, "open")}>Open</Button>
          : <Button small onClick={() => act(breaker, "reset")}>Reset</Button> }]
    : []; // biome-ignore format: one act a line
  return (
    <Table
      label="Circuit breakers"
      rows={found.data.items}
      rowKey={(breaker) => breaker.name}
      columns={[...BREAKERS, ...acts]}
      empty={
        <Empty icon="limits" title="No provider was called lately" command='@app.job(provider="openai")'>
          Kinds that name a provider share its breaker over all workers.
        </Empty>
      }
    />
  );
}

const BREAKERS: readonly Column<Breaker>[] = [
  { key: "name", title: "Provider", cell: (breaker) => <strong class="break">{breaker.name}</strong> },
  { key: "state", title: "State", width: "fit", cell: (breaker) => <Pill tone={TONES[breaker.state]}>{breaker.state}</Pill> },
  { key: "failures", title: "Failed", width: "fit", num: true, cell: (breaker) => `${compact(breaker.failures)} of ${compact(breaker.calls)}` },
  { key: "opens", title: "Tries again", width: "fit", from: "md", cell: (breaker) => <Time at={breaker.opens_at} /> },
  { key: "waiting", title: "Jobs wait", width: "fit", from: "md", cell: (breaker) => (breaker.waiting ? "yes" : "no") },
  { key: "error", title: "Last failure", width: "wide", from: "lg", cell: (breaker) => <span class="cut">{breaker.error}</span> },
]; // biome-ignore format: one column a line

function Padded<T>({ found }: { found: Found<T> }): JSX.Element {
  return (
    <div class="pad">
      <Waiting error={found.error} retry={found.reload} />
    </div>
  );
}
