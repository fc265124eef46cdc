/** A job that retention deleted: what is left of it is its history. */
import type { JSX } from "preact";
import type { AttemptView, Happened, History, State } from "../api/types";
import { STATES } from "../api/types";
import { Card, Copy, PageHead } from "../ui/basics";
import { StateChip } from "../ui/state";
import { Time } from "../ui/time";
import { Attempts } from "./attempts";
import { Timeline } from "./facts";

const NO_LOG: never[] = [];

export function Gone({ history }: { history: History }): JSX.Element {
  const state = endOf(history.timeline);
  const attempts: AttemptView[] = history.attempts;
  return (
    <>
      <PageHead title={String(history.timeline[0]?.detail?.kind ?? "Job")}>
        <StateChip state={state}>{state}</StateChip>
        <span class="row id-line">
          <code class="dim break">{history.id}</code>
          <Copy text={history.id} label="Copy the id" />
        </span>
      </PageHead>
      <div class="columns">
        <div class="stack roomy">
          <Card title="Deleted">
            <p>
              Retention deleted this job <Time at={history.gone_at} />. Its arguments, result, steps and log went with
              it.
            </p>
          </Card>
          {attempts.length > 0 && (
            <Card title="Attempts">
              <Attempts attempts={attempts} log={NO_LOG} />
            </Card>
          )}
        </div>
        <div class="stack roomy">
          <Timeline state={state} entries={history.timeline} />
        </div>
      </div>
    </>
  );
}

/** The state in which it ended. */
function endOf(timeline: readonly Happened[]): State {
  const told = timeline.map((entry) => (entry.what === "ended" ? entry.detail?.state : entry.what));
  const ends = told.filter((what) => what === "completed" || what === "failed" || what === "cancelled");
  return STATES.find((state) => state === ends.at(-1)) ?? "cancelled";
}
