/** The rows of a live list: they change in place, and while somebody points at or has chosen some, none moves. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { Query } from "../api/client";
import { readList } from "../api/lists";
import type { JobView } from "../api/types";
import { preview, readJson } from "../text/json";
import { useLoad } from "./load";

export interface JobRow extends JobView {
  /** A line of the arguments, as they were written. */
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

async function readRows(
  query: Query,
  limit: number,
  signal: AbortSignal,
): Promise<{ rows: JobRow[]; next: string | null }> {
  const found = await readList<JobView>("/jobs", { ...query, include: "preview" }, limit, signal);
  return { rows: found.items.map((job) => ({ ...job, argsLine: lineOf(job.preview ?? "") })), next: found.next };
}

function lineOf(text: string): string {
  try {
    return preview(readJson(text));
  } catch {
    return `${text.slice(0, 120)}…`; // it was cut off
  }
}

const LEAST_PACE = 1500;
/** A list that takes long to read is read again after so many times as long: searching is not all that the server has to do. */
const PAUSE = 8;

/** `held`: nothing may move now. */
export function useRows(q: string, cursor: string | undefined, limit: number, held: () => boolean): LiveRows {
  const key = `${q}\n${cursor ?? ""}`;
  const [shown, setShown] = useState<PageOfRows>();
  const latest = useRef<PageOfRows | undefined>(undefined);
  const current = useRef<PageOfRows | undefined>(undefined);
  const pace = useRef(LEAST_PACE);
  current.current = shown?.key === key ? shown : undefined;

  const { data, error, reload } = useLoad<PageOfRows>(
    async (signal) => {
      const began = Date.now();
      const page = await readRows({ q, cursor }, limit, signal);
      pace.current = Math.max(LEAST_PACE, PAUSE * (Date.now() - began));
      const known = new Set(page.rows.map((row) => row.id));
      const missing = (current.current?.rows ?? []).filter((row) => !known.has(row.id)).map((row) => row.id);
      const others = new Map<string, JobRow | null>(missing.map((id) => [id, null]));
      if (missing.length && held()) {
        for (const row of (await readRows({ q: `id:${missing.join(",")}` }, limit, signal)).rows)
          others.set(row.id, row);
      }
      return { key, ...page, others };
    },
    [key],
    { on: (event) => event.event !== "counts", every: pace.current },
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
