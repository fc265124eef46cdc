/** Settings: how this browser shows things, who one is here, and the API's keys. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { get, part, post, remove } from "../api/client";
import type { Listing } from "../api/types";
import { useLoad } from "../state/load";
import { locked, type Theme, theme, zone } from "../state/prefs";
import { can, session } from "../state/session";
import { Button, Card, Command, Empty, Failure, PageHead, Pill, Waiting } from "../ui/basics";
import { attempt, confirm, Dialog } from "../ui/overlay";
import { type Column, Table } from "../ui/table";
import { Time } from "../ui/time";

const THEMES: Record<Theme, string> = { system: "as the system", light: "light", dark: "dark" };
const OWN = Intl.DateTimeFormat().resolvedOptions().timeZone;
const ZONES: readonly string[] = Intl.supportedValuesOf?.("timeZone") ?? [OWN];

export default function Settings(): JSX.Element {
  return (
    <>
      <PageHead title="Settings" />
      <div class="grid" style={{ "--least": "340px" }}>
        <Card title="This browser">
          <Looks />
        </Card>
        <Card title="Who you are here">
          <Self />
        </Card>
      </div>
      {can("keys:read") && <Keys />}
    </>
  );
}

function Looks(): JSX.Element {
  return (
    <div class="stack">
      <label class="field">
        Colours
        <select
          value={theme.value}
          onChange={(event) => {
            theme.value = event.currentTarget.value as Theme;
          }}
        >
          {Object.entries(THEMES).map(([value, words]) => (
            <option key={value} value={value}>
              {words}
            </option>
          ))}
        </select>
      </label>
      <label class="field">
        Time zone
        <select
          value={zone.value}
          onChange={(event) => {
            zone.value = event.currentTarget.value;
          }}
        >
          <option value="local">this machine's ({OWN})</option>
          <option value="UTC">UTC</option>
          {ZONES.filter((name) => name !== "UTC").map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <label class="check">
        <input
          type="checkbox"
          checked={locked.value}
          onChange={(event) => {
            locked.value = event.currentTarget.checked;
          }}
        />
        Look, do not touch: hide what changes anything
      </label>
    </div>
  );
}

function Self(): JSX.Element {
  const me = session.value?.me;
  return (
    <div class="stack">
      <dl class="facts">
        <dt>Name</dt>
        <dd class="break">{me?.user ?? "–"}</dd>
        <dt>Role</dt>
        <dd>{me?.role ?? "–"}</dd>
        {me?.project && <><dt>Project</dt><dd>{me.project}</dd></>}
        <dt>May</dt>
        <dd class="small soft">{me?.permissions.join(", ")}</dd>
      </dl>
      {session.value?.read_only && <Pill tone="warn">this server is read-only</Pill>}
    </div>
  ); // biome-ignore format: one fact a line
}

interface Key {
  id: string;
  prefix: string;
  name: string;
  role: string;
  user: string;
  live: boolean;
  created_at: string;
  created_by: string;
  expires_at: string | null;
  revoked_at: string | null;
}

function Keys(): JSX.Element {
  const [making, setMaking] = useState(false);
  const { data, error, reload } = useLoad((signal) => get<Listing<Key>>("/keys", undefined, signal), [], {
    on: (event) => event.event === "reset",
    period: 30_000,
  });
  const revoke = (key: Key): void =>
    confirm({
      title: `Revoke ${key.name}?`,
      text: "Whoever uses it is shut out within seconds. It cannot be taken back.",
      act: "Revoke",
      danger: true,
      run: async () => {
        await attempt(() => remove(`/keys/${part(key.id)}`), `${key.name} is revoked`);
        reload();
      },
    });
  const mayChange = can("keys:change");
  const acts: readonly Column<Key>[] = mayChange
    ? [{ key: "acts", title: "Acts", width: "fit", cell: (key) => key.live && <Button small kind="danger" onClick={() => revoke(key)}>Revoke</Button> }]
    : []; // biome-ignore format: one act a line
  return (
    <Card
      title="API keys"
      acts={
        mayChange && (
          <Button small icon="plus" onClick={() => setMaking(true)}>
            New key
          </Button>
        )
      }
      flush
    >
      {!data ? (
        <div class="pad">
          <Waiting error={error} retry={reload} />
        </div>
      ) : (
        <Table
          label="API keys"
          rows={data.items}
          rowKey={(key) => key.id}
          columns={[...KEYS, ...acts]}
          empty={<Empty icon="keys" title="No keys yet" command="windlass keys create NAME --role operator" />}
        />
      )}
      {making && (
        <NewKey
          onClose={() => {
            setMaking(false);
            reload();
          }}
        />
      )}
    </Card>
  );
}

const KEYS: readonly Column<Key>[] = [
  { key: "name", title: "Key", cell: (key) => <span class="stack tight"><strong class="break">{key.name}</strong><code class="small">{key.prefix}…</code></span> },
  { key: "state", title: "State", width: "fit", cell: (key) => <Pill tone={key.live ? "ok" : "dim"}>{key.live ? "live" : key.revoked_at ? "revoked" : "expired"}</Pill> },
  { key: "role", title: "Role", width: "fit", cell: (key) => key.role },
  { key: "user", title: "User", width: "fit", from: "md", cell: (key) => key.user },
  { key: "expires", title: "Expires", width: "fit", from: "lg", cell: (key) => <Time at={key.expires_at} /> },
  { key: "made", title: "Made", width: "fit", from: "md", cell: (key) => <Time at={key.created_at} /> },
]; // biome-ignore format: one column a line

function NewKey({ onClose }: { onClose: () => void }): JSX.Element {
  const [name, setName] = useState("");
  const [role, setRole] = useState("viewer");
  const [expires, setExpires] = useState("90d");
  const [made, setMade] = useState("");
  const [error, setError] = useState<Error | null>(null);
  const save = async (event: Event): Promise<void> => {
    event.preventDefault();
    try {
      const body = { name, role, expires: expires || null };
      setMade((await post<{ key: string }>("/keys", body)).key);
    } catch (problem) {
      setError(problem as Error);
    }
  };
  if (made) {
    return (
      <Dialog title={`The key ${name}`} onClose={onClose}>
        <div class="stack">
          <p>It goes behind “Authorization: Bearer”, and is shown this once.</p>
          <Command text={made} />
        </div>
      </Dialog>
    );
  }
  return (
    <Dialog title="New key" onClose={onClose}>
      <form class="stack" onSubmit={save}>
        <label class="field">
          What it is for
          <input type="text" required maxLength={100} value={name} onInput={(event) => setName(event.currentTarget.value)} />
        </label>
        <label class="field">
          Role
          <select value={role} onChange={(event) => setRole(event.currentTarget.value)}>
            <option value="viewer">viewer: looks</option>
            <option value="user">user: makes jobs, and sees its own</option>
            <option value="operator">operator: acts on everything</option>
            <option value="admin">admin: keys too</option>
          </select>
        </label>
        <label class="field">
          Good for
          <select value={expires} onChange={(event) => setExpires(event.currentTarget.value)}>
            <option value="7d">7 days</option>
            <option value="90d">90 days</option>
            <option value="365d">a year</option>
            <option value="">ever</option>
          </select>
        </label>
        {error && <Failure error={error} />}
        <Button kind="main" submit disabled={!name.trim()}>
          Make it
        </Button>
      </form>
    </Dialog>
  ); // biome-ignore format: one field a line
}
