/** Instants and spans. */
import { useComputed } from "@preact/signals";
import type { JSX } from "preact";
import { now } from "../state/clock";
import { zone } from "../state/prefs";
import { duration } from "../text/format";
import { absolute, between, relative } from "../text/moments";

/** Relative, the absolute on hover; `full` the other way round. */
export function Time({ at, full, millis }: { at: string | null; full?: boolean; millis?: boolean }): JSX.Element {
  const instant = at ? Date.parse(at) : Number.NaN;
  if (Number.isNaN(instant)) return <span class="dim">–</span>;
  return <Known at={at!} instant={instant} full={full} millis={millis} />;
}

function Known(props: { at: string; instant: number; full?: boolean; millis?: boolean }): JSX.Element {
  const { at, instant, full, millis } = props;
  if (full) {
    return (
      <time dateTime={at} title={at}>
        {absolute(instant, zone.value, millis)}
      </time>
    );
  }
  return (
    <time dateTime={at} title={absolute(instant, zone.value, true)} class="nowrap">
      <Relative instant={instant} />
    </time>
  );
}

function Relative({ instant }: { instant: number }): JSX.Element {
  const text = useComputed(() => relative(instant, now.value));
  return <>{text}</>;
}

/** How long: from one instant to another, or until now. */
export function Span({ from, to }: { from: string | null; to: string | null }): JSX.Element {
  if (!from) return <span class="dim">–</span>;
  if (to) return <span class="nowrap">{duration(between(from, to) ?? 0)}</span>;
  return <Running from={from} />;
}

function Running({ from }: { from: string }): JSX.Element {
  return <span class="nowrap">{duration(Math.floor((now.value - Date.parse(from)) / 1000))}</span>;
}
