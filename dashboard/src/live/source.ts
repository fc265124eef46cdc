/** Where events come from: the stream, or the same by asking again and again, or only the passing of time. */
import { config } from "../config";

export type LiveEvent =
  | { event: "jobs"; data: { changes: Change[] } }
  | { event: "counts"; data: { queues: Record<string, Record<string, number>> } }
  /** A queue, schedule or limit was changed. */
  | { event: "settings"; data: { changes: Change[] } }
  /** Something was missed: everything on screen has to be read again. */
  | { event: "reset" }
  /** Nobody tells us; what is on screen is read again now and then. */
  | { event: "tick" };

export interface Change {
  event: string;
  queue: string | null;
  ids: string[];
  count: number;
}

export type Status = "connecting" | "live" | "polling" | "reading" | "reconnecting" | "paused" | "hidden";

export interface Sink {
  event: (event: LiveEvent) => void;
  status: (status: Status) => void;
}

const TOPICS = "jobs,counts,settings";
const EVENTS = ["jobs", "counts", "settings", "reset"] as const;
const POLL = 3000;
const TICK = 4000;
/** A stream that breaks so often, each time within so many milliseconds, is none: something between us does not let it through. */
const MOST_BREAKS = 4;
const LEAST = 10_000;

/** Opens the best source there is; the answer closes it. */
export function openSource(sink: Sink): () => void {
  if (config.live === "none") return tick(sink);
  let close = stream(sink, () => {
    close = poll(sink, () => {
      close = tick(sink);
    });
  });
  return () => close();
}

export function stream(sink: Sink, refused: () => void): () => void {
  let opens = 0;
  let breaks = 0;
  let since = 0;
  sink.status("connecting");
  const source = new EventSource(`${config.api}/events?topics=${TOPICS}`);
  source.onopen = () => {
    sink.status("live");
    since = Date.now();
    if (opens) sink.event({ event: "reset" });
    opens += 1;
  };
  for (const name of EVENTS) {
    source.addEventListener(name, (message) => sink.event(readEvent(name, message.data as string)));
  }
  source.onerror = () => {
    breaks = Date.now() - since < LEAST ? breaks + 1 : 1;
    sink.status("reconnecting");
    if (source.readyState !== EventSource.CLOSED && breaks < MOST_BREAKS) return;
    source.close();
    refused();
  };
  return () => source.close();
}

function readEvent(name: (typeof EVENTS)[number], text: string): LiveEvent {
  if (name === "reset") return { event: "reset" };
  return { event: name, data: JSON.parse(text) } as LiveEvent;
}

interface Polled {
  cursor: string;
  events: { event: "jobs" | "counts" | "settings"; data: never }[];
  reset: boolean;
}

export function poll(sink: Sink, refused: () => void): () => void {
  let cursor: string | null = null;
  let timer = 0;
  let closed = false;
  let failures = 0;
  const ask = async (): Promise<void> => {
    const after = cursor === null ? "" : `&after=${encodeURIComponent(cursor)}`;
    try {
      const response = await fetch(`${config.api}/events/poll?topics=${TOPICS}${after}`);
      if (closed) return;
      if ([401, 403, 404, 405, 501].includes(response.status)) return refused();
      if (!response.ok) throw new Error(String(response.status));
      const found = (await response.json()) as Polled;
      sink.status("polling");
      if (found.reset) sink.event({ event: "reset" });
      for (const each of found.events) sink.event(each as LiveEvent);
      cursor = found.cursor;
      failures = 0;
    } catch {
      failures += 1;
      if (failures >= MOST_BREAKS && !closed) return refused();
      sink.status("reconnecting");
    }
    if (!closed) timer = self.setTimeout(ask, POLL);
  };
  void ask();
  return () => {
    closed = true;
    clearTimeout(timer);
  };
}

export function tick(sink: Sink): () => void {
  sink.status("reading");
  const timer = self.setInterval(() => sink.event({ event: "tick" }), TICK);
  return () => clearInterval(timer);
}
