/** Reading for pages: the last good answer stays on screen while the next is on its way. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { type LiveEvent, subscribe } from "../live/live";

export interface Loaded<T> {
  data: T | undefined;
  error: Error | undefined;
  loading: boolean;
  reload: () => void;
}

export interface LoadOptions {
  /** Which events of the stream make it read again; false: none. Called for each event. */
  on?: (event: LiveEvent) => boolean;
  /** At most once in so many milliseconds because of events. */
  every?: number;
  /** Also by itself, so often, in milliseconds: for what no event tells, such as rates. */
  period?: number;
}

interface Own<T> {
  load: (signal: AbortSignal) => Promise<T>;
  options: LoadOptions;
  due: number;
  timer: number;
  again: boolean;
  running?: AbortController;
}

const always = (): boolean => true;

/** `load` runs again when `deps` change and when an event concerns it. */
export function useLoad<T>(
  load: (signal: AbortSignal) => Promise<T>,
  deps: readonly unknown[],
  options: LoadOptions = {},
): Loaded<T> {
  const [state, setState] = useState<{ data?: T; error?: Error; loading: boolean }>({ loading: true });
  const current = useRef<Own<T>>({ load, options, due: 0, timer: 0, again: false });
  current.current.load = load;
  current.current.options = options;

  const run = useCallback(async () => {
    const own = current.current;
    own.running?.abort();
    const mine = new AbortController();
    own.running = mine;
    clearTimeout(own.timer);
    own.timer = 0;
    own.again = false;
    own.due = Date.now() + (own.options.every ?? 1000);
    setState((before) => ({ ...before, loading: true }));
    try {
      const data = await own.load(mine.signal);
      if (!mine.signal.aborted) setState({ data, loading: false });
    } catch (error) {
      if (!mine.signal.aborted) setState((before) => ({ data: before.data, error: error as Error, loading: false }));
    }
    if (own.running !== mine) return;
    own.running = undefined;
    if (own.again) soon();
  }, []);

  /** Because of an event: never two at once, and not more often than agreed. */
  const soon = useCallback(() => {
    const own = current.current;
    if (own.running) own.again = true;
    else own.timer ||= window.setTimeout(run, Math.max(0, own.due - Date.now()));
  }, []);

  useEffect(() => {
    setState((before) => ({ ...before, error: undefined }));
    void run();
    return () => {
      const own = current.current;
      own.running?.abort();
      own.running = undefined;
      clearTimeout(own.timer);
      own.timer = 0;
    };
  }, deps);

  useEffect(() => {
    const drop = subscribe((event) => {
      if ((current.current.options.on ?? always)(event)) soon();
    });
    const period = options.period ? window.setInterval(() => document.hidden || soon(), options.period) : 0;
    return () => {
      drop();
      clearInterval(period);
    };
  }, []);

  return { data: state.data, error: state.error, loading: state.loading, reload: run };
}
