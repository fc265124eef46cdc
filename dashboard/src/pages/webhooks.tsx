/** Webhooks: endpoints, what they are told of, and how deliveries went. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { get, part, patch, post, remove } from "../api/client";
import type { Listing, State } from "../api/types";
import { href } from "../config";
import { useLoad } from "../state/load";
import { can } from "../state/session";
import { useAddress } from "../state/url";
import { Button, Card, Command, Empty, Failure, Notice, PageHead, Pill, Waiting } from "../ui/basics";
import { attempt, confirm, Dialog, toast } from "../ui/overlay";
import { StateChip } from "../ui/state";
import { type Column, Paging, Table } from "../ui/table";
import { Time } from "../ui/time";

interface Endpoint {
  id: string;
  url: string;
  events: string[];
  queues: string[];
  kinds: string[];
  description: string;
  active: boolean;
  reason: string | null;
  created_at: string;
  failing_since: string | null;
}

interface Delivery {
  id: string;
  event: string;
  subject: string | null;
  state: State;
  attempts: number;
  status: number | null;
  error: string | null;
  created_at: string;
  next_at: string | null;
}

const EVENTS = [
  "job.completed",
  "job.failed",
  "job.cancelled",
  "job.retrying",
  "workflow.finished",
  "batch.finished",
  "alert.firing",
  "alert.resolved",
] as const;

export default function Webhooks(): JSX.Element {
  const { query, set } = useAddress();
  const [adding, setAdding] = useState(false);
  const { data, error, reload } = useLoad((signal) => get<Listing<Endpoint>>("/webhooks", undefined, signal), [], {
    every: 5000,
    period: 15_000,
  });
  const chosen = data?.items.find((endpoint) => endpoint.id === query.id);
  return (
    <>
      <PageHead
        title="Webhooks"
        acts={
          can("webhooks:change") && (
            <Button icon="plus" onClick={() => setAdding(true)}>
              New endpoint
            </Button>
          )
        }
      />
      <Card flush>
        {!data ? (
          <div class="pad">
            <Waiting error={error} retry={reload} />
          </div>
        ) : (
          <Table
            label="Endpoints"
            rows={data.items}
            rowKey={(endpoint) => endpoint.id}
            columns={columns(query.id, (id) => set({ id, cursor: undefined }))}
            empty={
              <Empty
                icon="webhooks"
                title="Nobody is told yet"
                command="windlass webhooks add https://… -e 'job.failed'"
              >
                Endpoints get signed messages when jobs, workflows and batches end, and when alerts fire.
              </Empty>
            }
          />
        )}
      </Card>
      {chosen && <Deliveries key={chosen.id} endpoint={chosen} reload={reload} />}
      {adding && (
        <NewEndpoint
          onClose={() => {
            setAdding(false);
            reload();
          }}
        />
      )}
    </>
  );
}

function columns(chosen: string | undefined, choose: (id: string | undefined) => void): readonly Column<Endpoint>[] {
  return [
    { key: "url", title: "Address", cell: (endpoint) => <Address endpoint={endpoint} /> },
    { key: "state", title: "State", width: "fit", cell: (endpoint) => <EndpointState endpoint={endpoint} /> },
    { key: "events", title: "Events", from: "md", cell: (endpoint) => <span class="small break">{endpoint.events.join(", ")}</span> },
    { key: "made", title: "Made", width: "fit", from: "lg", cell: (endpoint) => <Time at={endpoint.created_at} /> },
    { key: "acts", title: "Deliveries", width: "fit", cell: (endpoint) => (
      <Button small onClick={() => choose(endpoint.id === chosen ? undefined : endpoint.id)}>{endpoint.id === chosen ? "Hide" : "Show"}</Button>
    ) },
  ]; // biome-ignore format: one column a line
}

function Address({ endpoint }: { endpoint: Endpoint }): JSX.Element {
  const only = [endpoint.queues.length && `queues ${endpoint.queues.join(", ")}`, endpoint.kinds.length && `kinds ${endpoint.kinds.join(", ")}`].filter(Boolean).join(" · "); // biome-ignore format: one thought
  return (
    <div class="stack tight">
      <strong class="break">{endpoint.url}</strong>
      {only && <span class="small soft break">only {only}</span>}
    </div>
  );
}

function EndpointState({ endpoint }: { endpoint: Endpoint }): JSX.Element {
  if (!endpoint.active) return <Pill tone="dim" title={endpoint.reason ?? undefined}>off</Pill>; // biome-ignore format: short
  if (endpoint.failing_since) return <Pill tone="bad" title={`since ${endpoint.failing_since}`}>failing</Pill>; // biome-ignore format: short
  return <Pill tone="ok">on</Pill>;
}

function Deliveries({ endpoint, reload }: { endpoint: Endpoint; reload: () => void }): JSX.Element {
  const { query, set } = useAddress();
  const path = `/webhooks/${part(endpoint.id)}`;
  const found = useLoad(
    (signal) => get<Listing<Delivery>>(`${path}/deliveries`, { cursor: query.cursor, limit: 25 }, signal),
    [endpoint.id, query.cursor],
    { every: 2000, period: 10_000 },
  );
  const next = found.data?.next_cursor;
  return (
    <Card
      title="Deliveries"
      acts={can("webhooks:change") && <EndpointActs endpoint={endpoint} reload={reload} />}
      flush
    >
      {endpoint.reason && (
        <div class="pad">
          <Notice tone="warn">It was switched off: {endpoint.reason}.</Notice>
        </div>
      )}
      {!found.data ? (
        <div class="pad">
          <Waiting error={found.error} retry={found.reload} />
        </div>
      ) : (
        <>
          <Table
            label="Deliveries"
            rows={found.data.items}
            rowKey={(delivery) => delivery.id}
            columns={DELIVERIES}
            empty={<Empty icon="webhooks" title="Nothing was sent to it" />}
          />
          <Paging
            words="the newest first"
            newest={query.cursor ? () => set({ cursor: undefined }) : undefined}
            older={next ? () => set({ cursor: next }) : undefined}
          />
        </>
      )}
    </Card>
  );
}

const DELIVERIES: readonly Column<Delivery>[] = [
  { key: "state", title: "State", width: "fit", cell: (delivery) => <StateChip state={delivery.state} /> },
  { key: "event", title: "Event", cell: (delivery) => <a href={href("/jobs", delivery.id)}>{delivery.event}</a> },
  { key: "answer", title: "Answer", width: "fit", num: true, cell: (delivery) => delivery.status ?? <span class="dim">none</span> },
  { key: "tries", title: "Tries", width: "fit", num: true, from: "md", cell: (delivery) => delivery.attempts },
  { key: "error", title: "Why not", width: "wide", from: "lg", cell: (delivery) => <span class="cut">{delivery.error}</span> },
  { key: "made", title: "Made", width: "fit", cell: (delivery) => <Time at={delivery.created_at} /> },
  { key: "next", title: "Next try", width: "fit", from: "xl", cell: (delivery) => <Time at={delivery.next_at} /> },
]; // biome-ignore format: one column a line

function EndpointActs({ endpoint, reload }: { endpoint: Endpoint; reload: () => void }): JSX.Element {
  const [secret, setSecret] = useState("");
  const path = `/webhooks/${part(endpoint.id)}`;
  const act = async (run: () => Promise<unknown>, done: string): Promise<void> => {
    await attempt(run, done);
    reload();
  };
  const rotate = (): void =>
    confirm({
      title: "Make a new secret?",
      text: "For a day messages carry both signatures, so that the receiver can change over.",
      act: "Make it",
      run: () => attempt(async () => setSecret((await post<{ secret: string }>(`${path}/rotate`)).secret)),
    });
  const drop = (): void =>
    confirm({
      title: "Remove the endpoint?",
      text: `${endpoint.url} is told nothing more; what was not delivered yet is cancelled.`,
      act: "Remove",
      danger: true,
      run: () => act(() => remove(path), "The endpoint is removed"),
    });
  return (
    <>
      <Button small onClick={() => act(() => post(`${path}/ping`), "A ping is on its way")}>
        Send a ping
      </Button>
      <Button
        small
        icon="retry"
        onClick={() =>
          attempt(async () => {
            const { count } = await post<{ count: number }>(`${path}/replay`, {});
            toast("ok", count ? `${count} are sent again` : "None was given up");
          })
        }
      >
        Send again
      </Button>
      <Button small onClick={() => act(() => patch(path, { active: !endpoint.active }), endpoint.active ? "Switched off" : "Switched on")}>
        {endpoint.active ? "Switch off" : "Switch on"}
      </Button>
      <Button small onClick={rotate}>
        New secret
      </Button>
      <Button small kind="danger" onClick={drop}>
        Remove
      </Button>
      {secret && <Secret text={secret} onClose={() => setSecret("")} />}
    </>
  ); // biome-ignore format: one act a line
}

function NewEndpoint({ onClose }: { onClose: () => void }): JSX.Element {
  const [url, setUrl] = useState("");
  const [queues, setQueues] = useState("");
  const [events, setEvents] = useState<readonly string[]>(["job.failed"]);
  const [secret, setSecret] = useState("");
  const [error, setError] = useState<Error | null>(null);
  const save = async (event: Event): Promise<void> => {
    event.preventDefault();
    const chosen = queues.split(",").map((each) => each.trim()).filter(Boolean); // biome-ignore format: one thought
    try {
      const made = await post<{ secret: string }>("/webhooks", { url, events, queues: chosen });
      setSecret(made.secret);
    } catch (problem) {
      setError(problem as Error);
    }
  };
  const toggle = (name: string): void =>
    setEvents(events.includes(name) ? events.filter((each) => each !== name) : [...events, name]);
  if (secret) return <Secret text={secret} onClose={onClose} />;
  return (
    <Dialog title="New endpoint" onClose={onClose}>
      <form class="stack" onSubmit={save}>
        <label class="field">
          Address
          <input type="url" required placeholder="https://" value={url} onInput={(event) => setUrl(event.currentTarget.value)} />
        </label>
        <fieldset class="choices">
          <legend>Events</legend>
          {EVENTS.map((name) => (
            <label key={name} class="check">
              <input type="checkbox" checked={events.includes(name)} onChange={() => toggle(name)} />
              {name}
            </label>
          ))}
        </fieldset>
        <label class="field">
          Queues
          <input type="text" placeholder="all; or names and patterns: mail, video-*" value={queues} onInput={(event) => setQueues(event.currentTarget.value)} />
        </label>
        {error && <Failure error={error} />}
        <Button kind="main" submit disabled={!url.trim() || !events.length}>
          Add
        </Button>
      </form>
    </Dialog>
  ); // biome-ignore format: one field a line
}

function Secret({ text, onClose }: { text: string; onClose: () => void }): JSX.Element {
  return (
    <Dialog title="Its secret" onClose={onClose}>
      <div class="stack">
        <p>The receiver checks signatures with it. It is shown this once.</p>
        <Command text={text} />
      </div>
    </Dialog>
  );
}
