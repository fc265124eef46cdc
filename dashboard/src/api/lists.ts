/**
 * Lists of jobs. The API looks at a bounded number of jobs for each page, so a page may be short, even empty, although more
 * match further back: here it is asked on until there is enough, or until somebody has waited long enough.
 */
import { type Answer, ask, type Query } from "./client";
import type { Listing } from "./types";

const PATIENCE = 1200;

export interface Found<T> {
  answers: Answer<Listing<T>>[];
  items: T[];
  /** Where to go on; null at the end. */
  next: string | null;
}

export async function readList<T>(path: string, query: Query, limit: number, signal: AbortSignal): Promise<Found<T>> {
  const answers: Answer<Listing<T>>[] = [];
  const items: T[] = [];
  const end = Date.now() + PATIENCE;
  let next = (query.cursor as string | undefined) ?? null;
  do {
    const answer = await ask<Listing<T>>("GET", path, {
      query: { ...query, cursor: next, limit: limit - items.length },
      signal,
    });
    answers.push(answer);
    items.push(...answer.data.items);
    next = answer.data.next_cursor;
  } while (next && items.length < limit && Date.now() < end);
  return { answers, items, next };
}
