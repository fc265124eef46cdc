/** Alerts: what fires, the rules, the channels, and what was told. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { get, part, post, put, remove } from "../api/client";
import type { Listing } from "../api/types";
import { href } from "../config";
import { useLoad } from "../state/load";
import { can } from "../state/session";
import { useAddress } from "../state/url";
import { compact, duration, percent, plural } from "../text/format";
import { Button, Card, Command, Empty, Failure, PageHead, Pill, Waiting } from "../ui/basics";
import { attempt, confirm, Dialog, toast } from "../ui/overlay";
import { type Column, Table } from "../ui/table";
import { Tabs } from "../ui/tabs";
import { Time } from "../ui/time";

interface Alert {
  rule: string;
  group: string;
  firing: boolean;
  text: string;
  value: number;
  command: string;
  since: string;
  ended_at: string | null;
  silent: boolean;
}

interface Rule {
  name: string;
  watch: Watch;
  threshold: number;
  window: number;
  least: number;
  queues: string[];
  channels: string[];
  cool_down: number;
  repeat: number | null;
  active: boolean;
}

interface Channel {
  name: string;
  way: string;
  to: string[];
  host: string;
}

interface Notice {
  id: string;
  event: string;
  rule: string;
  group: string;
  text: string;
  at: string;
}

const WATCHES = {
  "dead-letters": "jobs that failed for good",
  "error-rate": "share of jobs that fail",
  "queue-size": "jobs that wait",
  "queue-age": "how long the oldest waits",
  "worker-lost": "workers that are lost or stuck",
  health: "health of queues",
  "breaker-open": "open circuit breakers",
  "schedule-missed": "schedules that are late",
} as const;
type Watch = keyof typeof WATCHES;
const WATCH_NAMES = Object.keys(WATCHES) as Watch[];
const USUAL: Record<Watch, number> = {
  "dead-letters": 1,
  "error-rate": 0.1,
  "queue-size": 1000,
  "queue-age": 300,
  "worker-lost": 1,
  health: 2,
  "breaker-open": 1,
  "schedule-missed": 120,
};

/** A threshold in its own unit. */
function amount(watch: Watch, value: number): string {
  if (watch === "error-rate") return percent(value);
  if (watch === "queue-age" || watch === "schedule-missed") return duration(value);
  if (watch === "health") return ["healthy", "degraded", "unhealthy", "error"][value] ?? String(value);
  return compact(value);
}

const OFTEN = { every: 3000, period: 15_000 };

export default function Alerts(): JSX.Element {
  const { query, set } = useAddress();
  const tab = query.tab ?? "now";
  const alerts = useLoad((signal) => get<Listing<Alert>>("/alerts", undefined, signal), [], OFTEN);
  const firing = alerts.data?.items.filter((alert) => alert.firing).length;
  return (
    <>
      <PageHead title="Alerts">
        {firing !== undefined && (
          <Pill tone={firing ? "bad" : "ok"}>{firing ? `${plural(firing, "alert")} firing` : "nothing fires"}</Pill>
        )}
      </PageHead>
      <Card flush>
        <Tabs
          label="Alerts"
          at={tab}
          onChange={(key) => set({ tab: key === "now" ? undefined : key })}
          tabs={[
            { key: "now", title: "Now", count: firing },
            { key: "rules", title: "Rules" },
            { key: "channels", title: "Channels" },
            { key: "history", title: "History" },
          ]}
        >
          {tab === "rules" ? <Rules /> : tab === "channels" ? <Channels /> : tab === "history" ? <History /> : <Now alerts={alerts} />}
        </Tabs>
      </Card>
    </>
  ); // biome-ignore format: one panel a line
}

function Now({ alerts }: { alerts: { data?: Listing<Alert>; error?: Error; reload: () => void } }): JSX.Element {
  if (!alerts.data) return <Padded error={alerts.error} retry={alerts.reload} />;
  return (
    <Table
      label="Alerts that fire, and that ended within a day"
      rows={alerts.data.items}
      rowKey={(alert) => `${alert.rule}:${alert.group}`}
      columns={NOW}
      empty={
        <Empty icon="alerts" title="Nothing fires" command="windlass alerts standard">
          Rules are looked at every minute. The command makes the usual ones.
        </Empty>
      }
    />
  );
}

const NOW: readonly Column<Alert>[] = [
  { key: "state", title: "State", width: "fit", cell: (alert) => <Pill tone={alert.firing ? "bad" : "ok"}>{alert.firing ? "firing" : "ended"}</Pill> },
  { key: "what", title: "What", cell: (alert) => <What alert={alert} /> },
  { key: "since", title: "Since", width: "fit", cell: (alert) => <Time at={alert.since} /> },
  { key: "ended", title: "Ended", width: "fit", from: "md", cell: (alert) => <Time at={alert.ended_at} /> },
  { key: "look", title: "Look", width: "fit", from: "lg", cell: (alert) => alert.command && <Command text={alert.command} /> },
]; // biome-ignore format: one column a line

function What({ alert }: { alert: Alert }): JSX.Element {
  return (
    <div class="stack tight">
      <span class="break">{alert.text}</span>
      <span class="small soft">
        {alert.rule} · {alert.group}
        {alert.silent && " · silent: it came again within its cool-down"}
      </span>
    </div>
  );
}

function Rules(): JSX.Element {
  const [editing, setEditing] = useState<Rule | "new" | null>(null);
  const { data, error, reload } = useLoad(
    (signal) => get<Listing<Rule>>("/alerts/rules", undefined, signal),
    [],
    OFTEN,
  );
  const mayChange = can("alerts:change");
  const drop = (rule: Rule): void =>
    confirm({
      title: `Remove the rule ${rule.name}?`,
      text: "What it has firing is forgotten; nobody is told that it ended.",
      act: "Remove",
      danger: true,
      run: async () => {
        await attempt(() => remove(`/alerts/rules/${part(rule.name)}`), `${rule.name} is removed`);
        reload();
      },
    });
  const acts: readonly Column<Rule>[] = mayChange
    ? [
        {
          key: "acts",
          title: "Acts",
          width: "fit",
          cell: (rule) => (
            <span class="row">
              <Button small onClick={() => setEditing(rule)}>
                Edit
              </Button>
              <Button small kind="danger" onClick={() => drop(rule)}>
                Remove
              </Button>
            </span>
          ),
        },
      ]
    : [];
  return (
    <>
      {mayChange && (
        <div class="pad row">
          <Button icon="plus" onClick={() => setEditing("new")}>
            New rule
          </Button>
        </div>
      )}
      {!data ? (
        <Padded error={error} retry={reload} />
      ) : (
        <Table
          label="Rules"
          rows={data.items}
          rowKey={(rule) => rule.name}
          columns={[...RULES, ...acts]}
          empty={<Empty icon="alerts" title="No rules yet" command="windlass alerts standard --channel ops" />}
        />
      )}
      {editing && (
        <RuleDialog
          rule={editing === "new" ? null : editing}
          onClose={() => setEditing(null)}
          onDone={() => {
            setEditing(null);
            reload();
          }}
        />
      )}
    </>
  );
}

const RULES: readonly Column<Rule>[] = [
  { key: "name", title: "Rule", cell: (rule) => <span class="row wrap"><strong class="break">{rule.name}</strong>{!rule.active && <Pill>off</Pill>}</span> },
  { key: "watch", title: "Watches", from: "md", cell: (rule) => WATCHES[rule.watch] ?? rule.watch },
  { key: "from", title: "Fires from", width: "fit", num: true, cell: (rule) => amount(rule.watch, rule.threshold) },
  { key: "queues", title: "Queues", from: "lg", cell: (rule) => rule.queues.join(", ") || <span class="dim">all</span> },
  { key: "channels", title: "Tells", from: "md", cell: (rule) => rule.channels.join(", ") },
  { key: "cool", title: "Cool-down", width: "fit", num: true, from: "xl", cell: (rule) => duration(rule.cool_down) },
]; // biome-ignore format: one column a line

function RuleDialog(props: { rule: Rule | null; onClose: () => void; onDone: () => void }): JSX.Element {
  const { rule } = props;
  const [name, setName] = useState(rule?.name ?? "");
  const [watch, setWatch] = useState<Watch>(rule?.watch ?? "dead-letters");
  const [threshold, setThreshold] = useState(String(rule?.threshold ?? USUAL[watch]));
  const [queues, setQueues] = useState(rule?.queues.join(", ") ?? "");
  const [channels, setChannels] = useState<readonly string[]>(rule?.channels ?? ["log"]);
  const [error, setError] = useState<Error | null>(null);
  const known = useLoad((signal) => get<Listing<Channel>>("/alerts/channels", undefined, signal), [], OFTEN);
  const save = async (event: Event): Promise<void> => {
    event.preventDefault();
    const body = {
      watch,
      threshold: Number(threshold),
      queues: queues.split(",").map((each) => each.trim()).filter(Boolean),
      channels,
      window: `${rule?.window ?? 300}s`,
      least: rule?.least ?? 20,
      cool_down: `${rule?.cool_down ?? 900}s`,
      repeat: rule?.repeat ? `${rule.repeat}s` : null,
      active: rule?.active ?? true,
    }; // biome-ignore format: one field a line
    try {
      await put(`/alerts/rules/${part(name)}`, body);
      toast("ok", `${name} is kept`);
      props.onDone();
    } catch (problem) {
      setError(problem as Error);
    }
  };
  const toggle = (channel: string): void =>
    setChannels(channels.includes(channel) ? channels.filter((each) => each !== channel) : [...channels, channel]);
  return (
    <Dialog title={rule ? `Edit ${rule.name}` : "New rule"} onClose={props.onClose}>
      <form class="stack" onSubmit={save}>
        <label class="field">
          Name
          <input type="text" required maxLength={200} disabled={rule !== null} value={name} onInput={(event) => setName(event.currentTarget.value)} />
        </label>
        <label class="field">
          Watches
          <select
            value={watch}
            onChange={(event) => {
              const chosen = event.currentTarget.value as Watch;
              setWatch(chosen);
              setThreshold(String(USUAL[chosen]));
            }}
          >
            {WATCH_NAMES.map((each) => (
              <option key={each} value={each}>
                {each}: {WATCHES[each]}
              </option>
            ))}
          </select>
        </label>
        <label class="field">
          Fires from
          <input type="number" required min="0" step="any" value={threshold} onInput={(event) => setThreshold(event.currentTarget.value)} />
          <span class="small soft">{amount(watch, Number(threshold) || 0)}</span>
        </label>
        <label class="field">
          Queues
          <input type="text" placeholder="all; or names and patterns: mail, video-*" value={queues} onInput={(event) => setQueues(event.currentTarget.value)} />
        </label>
        <fieldset class="choices">
          <legend>Tells</legend>
          {["log", ...(known.data?.items.map((each) => each.name) ?? [])].map((channel) => (
            <label key={channel} class="check">
              <input type="checkbox" checked={channels.includes(channel)} onChange={() => toggle(channel)} />
              {channel}
            </label>
          ))}
        </fieldset>
        {error && <Failure error={error} />}
        <Button kind="main" submit disabled={!name.trim() || !channels.length}>
          Keep
        </Button>
      </form>
    </Dialog>
  ); // biome-ignore format: one field a line
}

function Channels(): JSX.Element {
  const [adding, setAdding] = useState(false);
  const { data, error, reload } = useLoad(
    (signal) => get<Listing<Channel>>("/alerts/channels", undefined, signal),
    [],
    OFTEN,
  );
  const tryOut = async (channel: Channel): Promise<void> => {
    await attempt(async () => {
      const { job } = await post<{ job: string }>(`/alerts/channels/${part(channel.name)}/try`);
      toast("ok", <a href={href("/jobs", job)}>A sample is on its way</a>);
    });
  };
  const drop = (channel: Channel): void =>
    confirm({
      title: `Remove the channel ${channel.name}?`,
      text: "Rules that name it have to be given other channels first.",
      act: "Remove",
      danger: true,
      run: async () => {
        await attempt(() => remove(`/alerts/channels/${part(channel.name)}`), `${channel.name} is removed`);
        reload();
      },
    });
  const mayChange = can("alerts:change");
  const columns: readonly Column<Channel>[] = [
    { key: "name", title: "Channel", cell: (channel) => <strong class="break">{channel.name}</strong> },
    { key: "way", title: "Way", width: "fit", cell: (channel) => channel.way },
    { key: "to", title: "To", from: "md", cell: (channel) => <span class="break">{channel.to.join(", ") || channel.host}</span> },
    ...(mayChange
      ? [{ key: "acts", title: "Acts", width: "fit" as const, cell: (channel: Channel) => (
          <span class="row">
            <Button small onClick={() => tryOut(channel)}>Try</Button>
            <Button small kind="danger" onClick={() => drop(channel)}>Remove</Button>
          </span>
        ) }]
      : []),
  ]; // biome-ignore format: one column a line
  return (
    <>
      {mayChange && (
        <div class="pad row">
          <Button icon="plus" onClick={() => setAdding(true)}>
            New channel
          </Button>
        </div>
      )}
      {!data ? (
        <Padded error={error} retry={reload} />
      ) : (
        <Table
          label="Channels"
          rows={data.items}
          rowKey={(channel) => channel.name}
          columns={columns}
          empty={
            <Empty
              icon="alerts"
              title="Only the log so far"
              command="windlass alerts channel ops email --to ops@example.com"
            >
              Mail, a webhook, or an address that takes Slack's messages.
            </Empty>
          }
        />
      )}
      {adding && (
        <ChannelDialog
          onClose={() => {
            setAdding(false);
            reload();
          }}
        />
      )}
    </>
  );
}

function ChannelDialog({ onClose }: { onClose: () => void }): JSX.Element {
  const [name, setName] = useState("");
  const [way, setWay] = useState("email");
  const [to, setTo] = useState("");
  const [secret, setSecret] = useState("");
  const [error, setError] = useState<Error | null>(null);
  const save = async (event: Event): Promise<void> => {
    event.preventDefault();
    const body = way === "email" ? { way, to: to.split(",").map((each) => each.trim()) } : { way, url: to.trim() };
    try {
      const made = await put<{ secret: string }>(`/alerts/channels/${part(name)}`, body);
      if (made.secret) setSecret(made.secret);
      else onClose();
    } catch (problem) {
      setError(problem as Error);
    }
  };
  if (secret) {
    return (
      <Dialog title={`The secret of ${name}`} onClose={onClose}>
        <div class="stack">
          <p>Receivers check signatures with it. It is shown this once.</p>
          <Command text={secret} />
        </div>
      </Dialog>
    );
  }
  return (
    <Dialog title="New channel" onClose={onClose}>
      <form class="stack" onSubmit={save}>
        <label class="field">
          Name
          <input
            type="text"
            required
            maxLength={200}
            value={name}
            onInput={(event) => setName(event.currentTarget.value)}
          />
        </label>
        <label class="field">
          Way
          <select value={way} onChange={(event) => setWay(event.currentTarget.value)}>
            <option value="email">e-mail</option>
            <option value="webhook">webhook, signed</option>
            <option value="slack">Slack, or what takes its messages</option>
          </select>
        </label>
        <label class="field">
          {way === "email" ? "Recipients" : "Address"}
          <input
            type="text"
            required
            placeholder={way === "email" ? "ops@example.com, boss@example.com" : "https://"}
            value={to}
            onInput={(event) => setTo(event.currentTarget.value)}
          />
        </label>
        {error && <Failure error={error} />}
        <Button kind="main" submit disabled={!name.trim() || !to.trim()}>
          Keep
        </Button>
      </form>
    </Dialog>
  );
}

function History(): JSX.Element {
  const { data, error, reload } = useLoad(
    (signal) => get<Listing<Notice>>("/alerts/history", { limit: 200 }, signal),
    [],
    OFTEN,
  );
  if (!data) return <Padded error={error} retry={reload} />;
  return (
    <Table
      label="What was told"
      rows={data.items}
      rowKey={(notice) => notice.id}
      columns={HISTORY}
      empty={<Empty icon="alerts" title="Nothing was told in the last 30 days" />}
    />
  );
}

const HISTORY: readonly Column<Notice>[] = [
  { key: "at", title: "When", width: "fit", cell: (notice) => <Time at={notice.at} /> },
  { key: "event", title: "Told", width: "fit", cell: (notice) => <Pill tone={notice.event === "resolved" ? "ok" : "bad"}>{notice.event}</Pill> },
  { key: "what", title: "What", cell: (notice) => <span class="break">{notice.text}</span> },
  { key: "rule", title: "Rule", width: "fit", from: "md", cell: (notice) => `${notice.rule} · ${notice.group}` },
]; // biome-ignore format: one column a line

function Padded({ error, retry }: { error?: Error; retry: () => void }): JSX.Element {
  return (
    <div class="pad">
      <Waiting error={error} retry={retry} />
    </div>
  );
}
