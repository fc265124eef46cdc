/** The alerts that fire: the navigation and the overview show them, and ask once. */
import { get } from "../api/client";
import type { Listing } from "../api/types";

export interface Firing {
  rule: string;
  group: string;
  text: string;
}

const FRESH = 700;
let last: { at: number; answer: Promise<Listing<Firing>> } | undefined;

export function readFiring(): Promise<Listing<Firing>> {
  if (last && Date.now() - last.at < FRESH) return last.answer;
  const answer = get<Listing<Firing>>("/alerts", { firing: "true" });
  last = { at: Date.now(), answer };
  answer.catch(() => {
    last = undefined;
  });
  return answer;
}
