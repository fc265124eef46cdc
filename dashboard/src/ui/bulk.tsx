/** Acts on many jobs: those chosen in a table, or all that a search finds. They run on the server, and can be undone at first. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { post } from "../api/client";
import type { BulkAction, BulkPreview, JobView, State } from "../api/types";
import { startBulk, UNDO } from "../state/bulk";
import { can } from "../state/session";
import { plural, total } from "../text/format";
import { Button, Failure, Notice, Skeleton } from "./basics";
import type { IconName } from "./icons";
import { attempt, Dialog } from "./overlay";
import { StateChip } from "./state";
import { isTyping } from "./table";

interface Act {
  action: BulkAction;
  title: string;
  icon: IconName;
  /** States whose jobs it can be done to. */
  states: readonly State[];
  permission: string;
  danger?: boolean;
  key?: string;
}

const PENDING: readonly State[] = ["blocked", "delayed", "waiting", "retrying"];
export const ACTS: readonly Act[] = [
  { action: "retry", title: "Retry", icon: "retry", states: ["failed", "cancelled", "completed"], permission: "jobs:change", key: "r" },
  { action: "cancel", title: "Cancel", icon: "cancel", states: [...PENDING, "active"], permission: "jobs:change", danger: true, key: "c" },
  { action: "run-now", title: "Run now", icon: "play", states: ["delayed", "retrying"], permission: "jobs:change" },
  { action: "delete", title: "Delete", icon: "bin", states: [...PENDING, "completed", "failed", "cancelled"], permission: "jobs:delete", danger: true },
]; // biome-ignore format: one act a line

/** What can be done with the rows that are chosen. */
export function ChosenBar({ jobs, clear }: { jobs: readonly JobView[]; clear: () => void }): JSX.Element {
  const run = async (act: Act): Promise<void> => {
    const ids = jobs.filter((job) => act.states.includes(job.state)).map((job) => job.id);
    if (ids.length && (await attempt(() => startBulk({ action: act.action, ids })))) clear();
  };
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (isTyping(event) || document.querySelector("dialog[open]")) return;
      const act = ACTS.find((each) => each.key === event.key);
      if (act && can(act.permission)) void run(act);
      if (event.key === "Escape") clear();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  });
  return (
    <div class="chosen-bar" role="toolbar" aria-label="Acts on the chosen jobs">
      <strong>{plural(jobs.length, "job")} chosen</strong>
      {ACTS.filter((act) => can(act.permission)).map((act) => {
        const fit = jobs.filter((job) => act.states.includes(job.state)).length;
        return (
          <Button
            key={act.action}
            small
            icon={act.icon}
            kind={act.danger ? "danger" : undefined}
            disabled={!fit}
            title={fit ? `${act.title} ${fit} of them` : "no chosen job is in a state that allows it"}
            onClick={() => run(act)}
          >
            {act.title} {fit > 0 && fit < jobs.length ? fit : ""}
          </Button>
        );
      })}
      <Button small kind="plain" onClick={clear}>
        Clear
      </Button>
    </div>
  );
}

/** An act on everything that a search finds: tried first, so that one sees how many. */
export function WholeQuery({ q, onClose }: { q: string; onClose: () => void }): JSX.Element {
  const acts = ACTS.filter((act) => can(act.permission));
  const [act, setAct] = useState<Act>(acts[0]!);
  const [preview, setPreview] = useState<BulkPreview | null>(null);
  const [error, setError] = useState<Error | null>(null);
  useEffect(() => {
    let current = true;
    setPreview(null);
    setError(null);
    post<BulkPreview>("/bulk", { action: act.action, q, dry_run: true }).then(
      (found) => current && setPreview(found),
      (problem) => current && setError(problem as Error),
    );
    return () => {
      current = false;
    };
  }, [act, q]);
  const run = async (): Promise<void> => {
    if (await attempt(() => startBulk({ action: act.action, q }))) onClose();
  };
  return (
    <Dialog
      title="Act on all jobs that match"
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>Keep them as they are</Button>
          <Button kind={act.danger ? "main danger" : "main"} disabled={!preview?.total.value} onClick={run}>
            {act.title} {preview ? total(preview.total) : ""}
          </Button>
        </>
      }
    >
      <p>
        <code class="break">{q}</code>
      </p>
      <fieldset class="choices">
        <legend class="hidden-visually">What to do</legend>
        {acts.map((each) => (
          <label key={each.action} class="check">
            <input type="radio" name="act" checked={each === act} onChange={() => setAct(each)} />
            {each.title}
          </label>
        ))}
      </fieldset>
      {error && <Failure error={error} />}
      {!preview && !error && <Skeleton lines={3} />}
      {preview && (
        <div class="stack tight">
          <strong>
            {preview.total.value ? `${total(preview.total)} jobs would be reached` : "No job would be reached"}
          </strong>
          <ul class="stack tight">
            {preview.samples.map((job) => (
              <li key={job.id} class="row">
                <StateChip state={job.state} />
                <span class="cut">
                  {job.kind} <span class="dim">{job.id}</span>
                </span>
              </li>
            ))}
          </ul>
        </div>
      )}
      <Notice tone="note">It begins after {UNDO} seconds; until then it can be undone.</Notice>
    </Dialog>
  );
}
