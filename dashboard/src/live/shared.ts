/** The stream in a SharedWorker: one for all tabs where there are no Web Locks. It is open while any tab is. */
import type { LiveEvent, Status } from "./source";

interface SharedScope {
  onconnect: ((event: MessageEvent) => void) | null;
}

const ports = new Set<MessagePort>();
let source: EventSource | null = null;
let status: Status = "connecting";

function all(message: { event: LiveEvent } | { status: Status } | { refused: true }): void {
  for (const port of ports) port.postMessage(message);
}

function setStatus(found: Status): void {
  status = found;
  all({ status });
}

function open(api: string): void {
  if (source) return;
  const mine = new EventSource(`${api}/events?topics=jobs,counts,settings`);
  source = mine;
  mine.onopen = () => setStatus("live");
  for (const name of ["jobs", "counts", "settings"] as const) {
    mine.addEventListener(name, ({ data }) =>
      all({ event: { event: name, data: JSON.parse(data as string) } as LiveEvent }),
    );
  }
  mine.addEventListener("reset", () => all({ event: { event: "reset" } }));
  mine.onerror = () => {
    if (mine.readyState !== EventSource.CLOSED) return setStatus("reconnecting");
    source = null;
    all({ refused: true });
  };
}

function leave(port: MessagePort): void {
  ports.delete(port);
  if (ports.size) return;
  source?.close();
  source = null;
}

(self as unknown as SharedScope).onconnect = (event) => {
  const port = event.ports[0];
  if (!port) return;
  port.onmessage = ({ data }: MessageEvent<{ open?: string; close?: true }>) => {
    if (data.close) return leave(port);
    if (!data.open) return;
    ports.add(port);
    port.postMessage({ status });
    open(data.open);
  };
};
