/** A state has one colour and one shape, everywhere. */
import type { JSX } from "preact";
import { STATES, type State } from "../api/types";
import { compact, count, plural } from "../text/format";

const SHAPES: Record<State, JSX.Element> = {
  blocked: <path d="M3 7h8v5H3zM5 7V5a2 2 0 0 1 4 0v2" />,
  delayed: <path d="M7 1.8a5.2 5.2 0 1 1 0 10.4A5.2 5.2 0 0 1 7 1.8zM7 4v3l2 1.5" />,
  waiting: <circle cx="7" cy="7" r="4.6" stroke-dasharray="2.2 1.9" />,
  active: <path d="M4 2.2v9.6L11.5 7z" fill="currentColor" />,
  retrying: <path d="M11.6 7A4.6 4.6 0 1 1 10 3.5M11.7 1.5v2.6H9.1" />,
  completed: <path d="M2.2 7.6l3 3 6.6-7.2" />,
  failed: <path d="M3 3l8 8M11 3l-8 8" />,
  cancelled: <path d="M7 1.8a5.2 5.2 0 1 1 0 10.4A5.2 5.2 0 0 1 7 1.8zM3.4 3.4l7.2 7.2" />,
};

export function StateIcon({ state, title }: { state: State; title?: boolean }): JSX.Element {
  return (
    <svg
      viewBox="0 0 14 14"
      width="14"
      height="14"
      fill="none"
      stroke="currentColor"
      stroke-width="1.7"
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden={title ? undefined : "true"}
      role={title ? "img" : undefined}
      aria-label={title ? state : undefined}
    >
      {SHAPES[state]}
    </svg>
  );
}

/** The state in words with its shape; `chip` on a tint. */
export function StateChip(props: { state: State; chip?: boolean; children?: string }): JSX.Element {
  return (
    <span class={props.chip === false ? "state" : "state chip"} data-state={props.state}>
      <StateIcon state={props.state} />
      <span class="word">{props.children ?? props.state}</span>
    </span>
  );
}

export type Counts = Partial<Record<State, number>>;

/** How jobs are spread over states, as a bar with its meaning in words. */
export function StateBar({ counts, of = STATES }: { counts: Counts; of?: readonly State[] }): JSX.Element {
  const shown = of.filter((state) => counts[state]);
  const words = shown.map((state) => `${count(counts[state] ?? 0)} ${state}`).join(", ") || "no jobs";
  return (
    <div class="statebar" role="img" aria-label={words} title={words}>
      {shown.map((state) => (
        <i
          key={state}
          data-state={state}
          style={{ flexGrow: String(Math.max(1, Math.log10((counts[state] ?? 0) + 1) * 10)) }}
        />
      ))}
    </div>
  );
}

/** A number with its state's shape, for tight places. */
export function StateCount({ state, value }: { state: State; value: number }): JSX.Element {
  return (
    <span class={value ? "state" : "state none"} data-state={state} title={`${plural(value, "job")} ${state}`}>
      <StateIcon state={state} />
      {compact(value)}
    </span>
  );
}
