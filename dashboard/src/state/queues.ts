/** The queues with their counts: several places of one screen show them, and ask once. */
import { get } from "../api/client";
import type { Listing, QueueView } from "../api/types";

const FRESH = 700;
let last: { at: number; answer: Promise<Listing<QueueView>> } | undefined;

export function readQueues(): Promise<Listing<QueueView>> {
  if (last && Date.now() - last.at < FRESH) return last.answer;
  const answer = get<Listing<QueueView>>("/queues");
  last = { at: Date.now(), answer };
  answer.catch(() => {
    last = undefined;
  });
  return answer;
}
