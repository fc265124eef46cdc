/** Bulk acts under way, at the corner of every page: how far they are, and how to take them back. */
import type { JSX } from "preact";
import type { BulkAction, BulkView } from "../api/types";
import { dismiss, isOver, running, stopBulk } from "../state/bulk";
import { now } from "../state/clock";
import { count, plural } from "../text/format";
import { Button, IconButton, Progress, type Tone } from "../ui/basics";
import { attempt } from "../ui/overlay";

const DOING: Record<BulkAction, [string, string]> = {
  retry: ["Retrying", "Retried"],
  cancel: ["Cancelling", "Cancelled"],
  delete: ["Deleting", "Deleted"],
  "run-now": ["Starting", "Started"],
  fail: ["Failing", "Failed"],
  reprioritise: ["Reprioritising", "Reprioritised"],
};

export function BulkTray(): JSX.Element {
  return (
    <section class="tray" aria-label="Bulk acts" aria-live="polite">
      {running.value.map((view) => (
        <Entry key={view.id} view={view} />
      ))}
    </section>
  );
}

function Entry({ view }: { view: BulkView }): JSX.Element {
  const over = isOver(view);
  const tone: Tone =
    view.status === "failed"
      ? "bad"
      : view.status === "completed"
        ? "ok"
        : view.status === "cancelled"
          ? "dim"
          : "note";
  return (
    <div class="toast" data-tone={tone}>
      <div class="grow stack tight">
        <strong>{words(view)}</strong>
        {view.status === "pending" && <Countdown view={view} />}
        {over && view.refused > 0 && (
          <span class="soft small">{plural(view.refused, "job")} could not be: their state does not allow it</span>
        )}
        {view.flagged > 0 && <span class="soft small">{plural(view.flagged, "running job")} asked to stop</span>}
      </div>
      {!over && (
        <Button small onClick={() => attempt(() => stopBulk(view.id))} disabled={view.cancelling}>
          {view.status === "pending" ? "Undo" : "Stop"}
        </Button>
      )}
      {over && <IconButton icon="close" label="Dismiss" onClick={() => dismiss(view.id)} />}
    </div>
  );
}

function words(view: BulkView): string {
  const [doing, done] = DOING[view.action];
  const changed = view.done + view.flagged;
  if (view.status === "cancelled")
    return changed ? `Stopped: ${count(changed)} were done` : "Undone: nothing was changed";
  if (view.status === "failed") return `It failed (${view.code}); ${count(changed)} were done`;
  if (view.status === "completed") return `${done} ${plural(changed, "job")}`;
  return view.status === "running" ? `${doing}: ${count(changed)} so far` : `${doing} jobs …`;
}

function Countdown({ view }: { view: BulkView }): JSX.Element {
  const starts = Date.parse(view.starts_at);
  const whole = Math.max(1, starts - Date.parse(view.created_at));
  const left = Math.min(whole, Math.max(0, starts - now.value));
  return (
    <span class="row">
      <span class="small soft nowrap">begins in {Math.ceil(left / 1000)} s</span>
      <span class="grow">
        <Progress value={100 - (left / whole) * 100} full bare />
      </span>
    </span>
  );
}
