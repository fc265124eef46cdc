/** The rows of a live list: they change in place, and while somebody points at or has chosen some, none moves. */
import { useEffect, useRef, useState } from "preact/hooks";
import { ask, type Query } from "../api/client";
import type { JobView, Listing } from "../api/types";
import { dig, type Json, preview, readJson, textOf } from "../text/json";
import { useLoad } from "./load";

export interface JobRow extends JobView {
  /** The arguments as text, as they were written, and a line of them. */
  argsText: string;
  argsLine: string;
  /** It is no longer in this list, and stays on screen until the list is read anew. */
  gone?: boolean;
}

export interface LiveRows {
  rows: readonly JobRow[] | undefined;
  error: Error | undefined;
  next: string | null;
  /** Rows that came meanwhile and are not shown yet. */
  fresh: number;
  show: () => void;
  reload: () => void;
}

interface PageOfRows {
  key: string;
  rows: JobRow[];
  next: string | null;
  /** Rows on screen that are not on this page: as they are now. */
  others: Map<string, JobRow | null>;
}

async function readRows(query: Query, signal: AbortSignal): Promise<{ rows: JobRow[]; next: string | null }> {
  const { data, text } = await ask<Listing<JobView>>("GET", "/jobs", { query: { ...query, include: "args" }, signal });
  const whole = readJson(text);
  const rows = data.items.map((job, at) => rowOf(job, text, dig(whole, "items", at, "args")));
  return { rows, next: data.next_cursor };
}

function rowOf(job: JobView, text: string, args: Json | undefined): JobRow {
  return { ...job, argsText: textOf(text, args), argsLine: preview(args) };
}

/** `held`: nothing may move now. */
export function useRows(q: string, cursor: string | undefined, limit: number, held: () => boolean): LiveRows {
  const key = `${q}\n${cursor ?? ""}`;
  const [shown, setShown] = useState<PageOfRows>();
  const latest = useRef<PageOfRows | undefined>(undefined);
  const current = useRef<PageOfRows | undefined>(undefined);
  current.current = shown?.key === key ? shown : undefined;

  const { data, error, reload } = useLoad<PageOfRows>(
    async (signal) => {
      const page = await readRows({ q, limit, cursor }, signal);
      const known = new Set(page.rows.map((row) => row.id));
      const missing = (current.current?.rows ?? []).filter((row) => !known.has(row.id)).map((row) => row.id);
      const others = new Map<string, JobRow | null>(missing.map((id) => [id, null]));
      if (missing.length && held()) {
        for (const row of (await readRows({ q: `id:${missing.join(",")}`, limit }, signal)).rows)
          others.set(row.id, row);
      }
      return { key, ...page, others };
    },
    [key],
    { on: (event) => event.event !== "counts", every: 1500 },
  );

  useEffect(() => {
    if (!data || data.key !== key) return;
    latest.current = data;
    setShown((before) => (before?.key === key && held() ? inPlace(before, data) : data));
  }, [data, key]);

  const settle = (): void => {
    if (latest.current?.key === key) setShown(latest.current);
  };
  const mine = shown?.key === key ? shown : undefined;
  const ids = new Set(mine?.rows.map((row) => row.id));
  const fresh = mine ? (latest.current?.rows.filter((row) => !ids.has(row.id)).length ?? 0) : 0;
  return { rows: mine?.rows, error, next: mine?.next ?? null, fresh, show: settle, reload };
}

/** The same rows in the same order, each as it is now. */
function inPlace(before: PageOfRows, after: PageOfRows): PageOfRows {
  const known = new Map(after.rows.map((row) => [row.id, row]));
  const rows = before.rows.map((row) => {
    const found = known.get(row.id);
    if (found) return found;
    const other = after.others.get(row.id);
    return { ...(other ?? row), gone: true };
  });
  return { ...before, rows };
}
