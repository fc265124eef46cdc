/** What can be done with one job, as far as its state and the caller's role allow. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ask, type Problem, part, patch, post, remove } from "../api/client";
import type { Acted, Created, JobView, State } from "../api/types";
import { href } from "../config";
import { can } from "../state/session";
import { useAddress } from "../state/url";
import { dig, pretty, readJson, textOf } from "../text/json";
import { Button, Failure } from "../ui/basics";
import { attempt, confirm, Dialog, Menu, type MenuItem, toast } from "../ui/overlay";
import { isTyping } from "../ui/table";
import { wrongObject } from "./new-job";

const ENDED: readonly State[] = ["completed", "failed", "cancelled"];

export function JobActs({ job, text, done }: { job: JobView; text: string; done: () => void }): JSX.Element | null {
  const { go } = useAddress();
  const [dialog, setDialog] = useState<"clone" | "priority" | "signal" | null>(null);
  const path = `/jobs/${part(job.id)}`;
  const ended = ENDED.includes(job.state);
  const change = can("jobs:change");
  const act = async (name: string, words: string): Promise<void> => {
    await attempt(async () => {
      const found = await post<Acted>(`${path}/${name}`, {});
      toast("ok", found.outcome === "asked" ? "Its running handler was asked to stop" : words);
    });
    done();
  };
  const retry = (): Promise<void> => act("retry", "It runs again");
  const cancel = (): void =>
    confirm({ title: `Cancel ${job.kind}?`, text: "A running handler is asked to stop. Jobs that wait for this one go by their own policy.", act: "Cancel the job", danger: true, run: () => act("cancel", "Cancelled") }); // biome-ignore format: one line

  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (isTyping(event) || document.querySelector("dialog[open]") || !change) return;
      if (event.key === "r" && ended) void retry();
      if (event.key === "c" && !ended) cancel();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  });

  const items: MenuItem[] = [];
  if (change && (job.state === "delayed" || job.state === "retrying"))
    items.push({ label: "Run now", icon: "play", run: () => act("run-now", "It waits for a worker") });
  if (can("jobs:create")) items.push({ label: "Edit and clone", icon: "copy", run: () => setDialog("clone") });
  if (change && !ended) items.push({ label: "Change priority", icon: "edit", run: () => setDialog("priority") });
  if (change && !ended) items.push({ label: "Send a signal", icon: "bolt", run: () => setDialog("signal") });
  if (change && !ended && job.state !== "active")
    items.push({
      label: "Send to the dead letters",
      icon: "errors",
      danger: true,
      run: () => act("fail", "It is a dead letter"),
    });
  if (can("jobs:delete") && job.state !== "active") {
    items.push({
      label: "Delete", icon: "bin", danger: true,
      run: () =>
        confirm({
          title: `Delete ${job.kind}?`, text: "The job, its log and its history are gone for good.", act: "Delete it", danger: true,
          run: async () => (await attempt(() => remove(path), "Deleted")) && go(href("/jobs")),
        }),
    });
  } // biome-ignore format: one act a line
  return (
    <>
      {change && ended && (
        <Button icon="retry" kind={job.state === "completed" ? undefined : "main"} onClick={retry}>
          {job.state === "completed" ? "Run again" : "Retry"}
        </Button>
      )}
      {change && !ended && (
        <Button icon="cancel" kind="danger" disabled={job.cancelling} onClick={cancel}>
          Cancel
        </Button>
      )}
      {items.length > 0 && <Menu label="More acts" items={items} />}
      {dialog === "clone" && <CloneDialog job={job} text={text} onClose={() => setDialog(null)} />}
      {dialog === "priority" && <PriorityDialog job={job} onClose={() => setDialog(null)} done={done} />}
      {dialog === "signal" && <SignalDialog job={job} onClose={() => setDialog(null)} done={done} />}
    </>
  );
}

/** A job like this one with other arguments. The text is sent as it stands, so that big numbers stay what they are. */
function CloneDialog({ job, text, onClose }: { job: JobView; text: string; onClose: () => void }): JSX.Element {
  const { go } = useAddress();
  const own = textOf(text, dig(readJson(text), "args")) || "{}";
  const [args, setArgs] = useState(() => pretty(own));
  const [queue, setQueue] = useState(job.queue);
  const [delay, setDelay] = useState("");
  const [error, setError] = useState<Error | null>(null);
  const wrong = wrongObject(args);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const members = [`"args": ${args}`, `"queue": ${JSON.stringify(queue)}`];
    if (delay.trim()) members.push(`"delay": ${JSON.stringify(delay.trim())}`);
    try {
      const { data } = await ask<Created>("POST", `/jobs/${part(job.id)}/clone`, { raw: `{${members.join(", ")}}` });
      toast("ok", "A new job was made");
      onClose();
      go(href("/jobs", data.id));
    } catch (problem) {
      setError(problem as Problem);
    }
  };
  return (
    <Dialog title={`A new ${job.kind} like this one`} onClose={onClose} wide>
      <form class="stack" onSubmit={submit}>
        <label class="field">
          Arguments
          <textarea
            rows={12}
            spellcheck={false}
            value={args}
            aria-invalid={!!wrong}
            onInput={(event) => setArgs(event.currentTarget.value)}
          />
        </label>
        {wrong && (
          <p class="bad small" role="alert">
            {wrong}
          </p>
        )}
        <div class="grid" style={{ "--least": "180px" }}>
          <label class="field">
            Queue
            <input type="text" required value={queue} onInput={(event) => setQueue(event.currentTarget.value)} />
          </label>
          <label class="field">
            Delay
            <input
              type="text"
              placeholder="none, or 30s, 5m, 2h"
              value={delay}
              onInput={(event) => setDelay(event.currentTarget.value)}
            />
          </label>
        </div>
        {error && <Failure error={error} />}
        <div class="row apart">
          <Button onClick={onClose}>Leave it</Button>
          <Button kind="main" submit disabled={!!wrong}>
            Make the job
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function PriorityDialog({ job, onClose, done }: { job: JobView; onClose: () => void; done: () => void }): JSX.Element {
  const [value, setValue] = useState(String(job.priority));
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (await attempt(() => patch(`/jobs/${part(job.id)}`, { priority: Number(value) }), "Its priority was changed"))
      onClose();
    done();
  };
  return (
    <Dialog title="Change the priority" onClose={onClose}>
      <form class="stack" onSubmit={submit}>
        <label class="field">
          From -100 to 100; higher runs first. The job keeps its age.
          <input
            type="number"
            min={-100}
            max={100}
            required
            value={value}
            onInput={(event) => setValue(event.currentTarget.value)}
          />
        </label>
        <Button kind="main" submit>
          Change it
        </Button>
      </form>
    </Dialog>
  );
}

function SignalDialog({ job, onClose, done }: { job: JobView; onClose: () => void; done: () => void }): JSX.Element {
  const [name, setName] = useState("");
  const [data, setData] = useState("null");
  const [error, setError] = useState<Error | null>(null);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    try {
      readJson(data);
      await ask("POST", `/jobs/${part(job.id)}/signals/${part(name)}`, { raw: `{"data": ${data}}` });
      toast("ok", "The signal was sent");
      onClose();
      done();
    } catch (problem) {
      setError(problem as Error);
    }
  };
  return (
    <Dialog title="Send a signal" onClose={onClose}>
      <form class="stack" onSubmit={submit}>
        <label class="field">
          Name, as the handler waits for it
          <input type="text" required value={name} onInput={(event) => setName(event.currentTarget.value)} />
        </label>
        <label class="field">
          Data (JSON)
          <textarea rows={4} value={data} onInput={(event) => setData(event.currentTarget.value)} />
        </label>
        {error && <Failure error={error} />}
        <Button kind="main" submit>
          Send it
        </Button>
      </form>
    </Dialog>
  );
}
