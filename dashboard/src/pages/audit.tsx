/** The audit: who did what to which thing, and when. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { get } from "../api/client";
import type { Listing } from "../api/types";
import { href } from "../config";
import { useLoad } from "../state/load";
import { useAddress } from "../state/url";
import { shortId } from "../text/format";
import { Button, Card, Empty, PageHead, Waiting } from "../ui/basics";
import { type Column, Paging, Table } from "../ui/table";
import { Time } from "../ui/time";

export interface Act {
  id: string;
  at: string;
  actor: string;
  action: string;
  target: string;
  detail: Record<string, unknown>;
}

interface Filter {
  target: string;
  actor: string;
  action: string;
}

const EMPTY: Filter = { target: "", actor: "", action: "" };
const FIELDS: readonly { name: keyof Filter; label: string; hint: string }[] = [
  { name: "target", label: "Target", hint: "queue:* or a job's id" },
  { name: "actor", label: "Actor", hint: "key:… or user:…" },
  { name: "action", label: "Action", hint: "requeue, put-*, …" },
];

export default function Audit(): JSX.Element {
  const { query, set } = useAddress();
  const asked: Filter = { target: query.target ?? "", actor: query.actor ?? "", action: query.action ?? "" };
  const { data, error, reload } = useLoad(
    (signal) => get<Listing<Act>>("/audit", { ...asked, cursor: query.cursor, limit: 50 }, signal),
    [query.target, query.actor, query.action, query.cursor],
    { every: 3000, period: 10_000 },
  );
  const next = data?.next_cursor;
  return (
    <>
      <PageHead title="Audit" />
      <Card>
        <FilterForm asked={asked} onChange={(filter) => set({ ...filter, cursor: undefined })} />
      </Card>
      <Card flush>
        {!data ? (
          <div class="pad">
            <Waiting error={error} retry={reload} />
          </div>
        ) : (
          <>
            <Table
              label="Acts"
              rows={data.items}
              rowKey={(act) => act.id}
              columns={COLUMNS}
              empty={
                <Empty
                  icon="audit"
                  title={Object.values(asked).some(Boolean) ? "No such act" : "Nobody changed anything yet"}
                >
                  Every change by a person, a key or a program is kept here, with who made it.
                </Empty>
              }
            />
            <Paging
              words={`${data.items.length} acts, the newest first`}
              newest={query.cursor ? () => set({ cursor: undefined }) : undefined}
              older={next ? () => set({ cursor: next }) : undefined}
            />
          </>
        )}
      </Card>
    </>
  );
}

function FilterForm({ asked, onChange }: { asked: Filter; onChange: (filter: Filter) => void }): JSX.Element {
  const [filter, setFilter] = useState(asked);
  useEffect(() => setFilter(asked), [asked.target, asked.actor, asked.action]);
  return (
    <form
      class="row wrap end"
      onSubmit={(event) => {
        event.preventDefault();
        onChange(filter);
      }}
    >
      {FIELDS.map(({ name, label, hint }) => (
        <label key={name} class="field">
          {label}
          <input
            type="text"
            name={name}
            placeholder={hint}
            value={filter[name]}
            onInput={(event) => setFilter({ ...filter, [name]: event.currentTarget.value })}
          />
        </label>
      ))}
      <Button submit kind="main">
        Filter
      </Button>
      {Object.values(asked).some(Boolean) && <Button onClick={() => onChange(EMPTY)}>Clear</Button>}
    </form>
  );
}

const COLUMNS: readonly Column<Act>[] = [
  { key: "at", title: "When", width: "fit", cell: (act) => <Time at={act.at} /> },
  { key: "actor", title: "Who", width: "fit", from: "md", cell: (act) => <span class="break">{act.actor}</span> },
  { key: "action", title: "What", width: "fit", cell: (act) => <strong>{act.action}</strong> },
  { key: "target", title: "To what", width: "fit", cell: (act) => <Target target={act.target} /> },
  { key: "detail", title: "Detail", width: "wide", from: "lg", cell: (act) => <code class="cut small">{detailOf(act)}</code> },
]; // biome-ignore format: one column a line

const JOB = /^[0-9a-f]{8}-[0-9a-f]{4}-7/;

function Target({ target }: { target: string }): JSX.Element {
  const address = addressOf(target);
  const words = <span class="cut target">{JOB.test(target) ? shortId(target) : target}</span>;
  return address ? (
    <a href={address} title={target}>
      {words}
    </a>
  ) : (
    words
  );
}

function addressOf(target: string): string | null {
  if (JOB.test(target)) return href("/jobs", target);
  const [kind, ...rest] = target.split(":");
  const name = rest.join(":");
  if (kind === "queue" && name) return href("/queues", name);
  return kind === "schedule" && name ? href("/schedules", name) : null;
}

function detailOf(act: Act): string {
  const parts = Object.entries(act.detail).filter(([, value]) => value !== null && JSON.stringify(value) !== "{}");
  return parts.map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`).join(" ");
}
