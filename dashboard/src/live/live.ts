/**
 * One stream for all tabs of a browser. The tab that holds a Web Lock reads it and tells the others over a BroadcastChannel;
 * where there are no locks (plain HTTP), a SharedWorker reads it; where there is neither, each tab polls. Hidden tabs read
 * nothing and hold nothing.
 */
import { computed, signal } from "@preact/signals";
import { reachable } from "../api/client";
import { config } from "../config";
import { type LiveEvent, openSource, poll, type Sink, type Status, tick } from "./source";

export type { Change, LiveEvent } from "./source";

const NAME = `windlass-live:${config.api}`;
const heard = signal<Status>("connecting");
export const paused = signal(false);
export const status = computed<Status>(() => {
  if (paused.value) return "paused";
  return reachable.value ? heard.value : "reconnecting";
});
/** Whether what is on screen may be old, because nothing reaches the server. */
export const cut = computed(() => !paused.value && !reachable.value);
/** When something was last heard or read. */
export const updated = signal(Date.now());

type Listener = (event: LiveEvent) => void;
const listeners = new Set<Listener>();

/** Hear events until the answer is called. */
export function subscribe(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell(event: LiveEvent): void {
  updated.value = Date.now();
  for (const listener of listeners) listener(event);
}

const sink: Sink = {
  event: tell,
  status: (found) => {
    heard.value = found;
  },
};

let stop: (() => void) | null = null;

function start(): void {
  if (stop) return;
  heard.value = "connecting";
  if (config.live === "none") stop = tick(sink);
  else if (navigator.locks && "BroadcastChannel" in self) stop = lead();
  else if ("SharedWorker" in self) stop = share();
  else stop = openPolling();
}

function halt(): void {
  stop?.();
  stop = null;
}

function openPolling(): () => void {
  let close = poll(sink, () => {
    close = tick(sink);
  });
  return () => close();
}

type Message = { event: LiveEvent } | { status: Status } | { hello: true };

/** Follow whoever leads, and lead when nobody does. */
function lead(): () => void {
  const channel = new BroadcastChannel(NAME);
  const gone = new AbortController();
  let close: (() => void) | null = null;
  let release: () => void = () => {};
  channel.onmessage = ({ data }: MessageEvent<Message>) => {
    if ("hello" in data) {
      if (close) channel.postMessage({ status: heard.peek() });
    } else if ("status" in data) sink.status(data.status);
    else tell(data.event);
  };
  const loud: Sink = {
    event: (event) => {
      tell(event);
      channel.postMessage({ event });
    },
    status: (found) => {
      sink.status(found);
      channel.postMessage({ status: found });
    },
  };
  navigator.locks
    .request(NAME, { signal: gone.signal }, () => {
      if (gone.signal.aborted) return;
      close = openSource(loud);
      return new Promise<void>((resolve) => {
        release = resolve;
      });
    })
    .catch(() => {}); // aborted while it stood in line: this tab has been hidden
  channel.postMessage({ hello: true });
  return () => {
    gone.abort();
    close?.();
    close = null;
    release();
    channel.close();
  };
}

function share(): () => void {
  const worker = new SharedWorker(new URL("./shared.ts", import.meta.url), { type: "module", name: NAME });
  let instead: (() => void) | null = null;
  worker.port.onmessage = ({ data }: MessageEvent<{ event: LiveEvent } | { status: Status } | { refused: true }>) => {
    if ("refused" in data) instead ??= openPolling();
    else if ("status" in data) sink.status(data.status);
    else tell(data.event);
  };
  worker.port.postMessage({ open: config.api });
  return () => {
    instead?.();
    worker.port.postMessage({ close: true });
    worker.port.close();
  };
}

function follow(): void {
  if (document.hidden || paused.peek()) {
    halt();
    return;
  }
  const back = stop === null;
  start();
  if (back) tell({ event: "reset" });
}

/** Begin; called once. */
export function beLive(): void {
  document.addEventListener("visibilitychange", follow);
  addEventListener("pagehide", halt);
  addEventListener("pageshow", (event) => event.persisted && follow());
  if (!document.hidden) start();
}

export function endLive(): void {
  document.removeEventListener("visibilitychange", follow);
  halt();
}

export function togglePause(): void {
  paused.value = !paused.value;
  follow();
}
