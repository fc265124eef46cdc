/** A new job from a form: its kind, arguments as JSON with a start made from the kind's schema, where and when. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ask, get } from "../api/client";
import type { Created, KindView, Listing } from "../api/types";
import { href } from "../config";
import { useAddress } from "../state/url";
import { readJson } from "../text/json";
import { followed, templateOf } from "../text/schema";
import { Button, Empty, Failure, Skeleton } from "../ui/basics";
import { Dialog, toast } from "../ui/overlay";

/** What is wrong with the text of an object, in a sentence; empty if nothing is. */
export function wrongObject(text: string): string {
  try {
    return readJson(text).kind === "object" ? "" : "arguments are a JSON object";
  } catch (error) {
    return (error as Error).message;
  }
}

export function NewJobDialog({ onClose }: { onClose: () => void }): JSX.Element {
  const [kinds, setKinds] = useState<KindView[] | null>(null);
  const [error, setError] = useState<Error | null>(null);
  useEffect(() => {
    get<Listing<KindView>>("/kinds").then(
      (found) => setKinds(found.items),
      (problem) => setError(problem as Error),
    );
  }, []);
  return (
    <Dialog title="New job" onClose={onClose} wide>
      {error && <Failure error={error} />}
      {!kinds && !error && <Skeleton lines={4} />}
      {kinds && !kinds.length && (
        <Empty icon="jobs" title="No kind of job is known here" command="windlass worker -A shop.jobs:app">
          Workers publish the kinds that they run.
        </Empty>
      )}
      {kinds && kinds.length > 0 && <Form kinds={kinds} onClose={onClose} />}
    </Dialog>
  );
}

function Form({ kinds, onClose }: { kinds: readonly KindView[]; onClose: () => void }): JSX.Element {
  const { go } = useAddress();
  const [kind, setKind] = useState(kinds[0]!);
  const [args, setArgs] = useState(templateOf(kinds[0]!.schema));
  const [queue, setQueue] = useState("");
  const [delay, setDelay] = useState("");
  const [priority, setPriority] = useState("");
  const [error, setError] = useState<Error | null>(null);
  const wrong = wrongObject(args);
  const choose = (name: string): void => {
    const found = kinds.find((each) => each.name === name);
    if (!found) return;
    setKind(found);
    setArgs(templateOf(found.schema));
    setError(null);
  };
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const members = [`"kind": ${JSON.stringify(kind.name)}`, `"args": ${args}`];
    if (queue.trim()) members.push(`"queue": ${JSON.stringify(queue.trim())}`);
    if (delay.trim()) members.push(`"delay": ${JSON.stringify(delay.trim())}`);
    if (priority.trim()) members.push(`"priority": ${Number(priority)}`);
    try {
      const { data } = await ask<Created>("POST", "/jobs", { raw: `{${members.join(", ")}}` });
      toast("ok", data.deduplicated ? "Its unique key was held: this is the job that holds it" : "The job was made");
      onClose();
      go(href("/jobs", data.id));
    } catch (problem) {
      setError(problem as Error);
    }
  };
  return (
    <form class="stack" onSubmit={submit}>
      <label class="field">
        Kind
        <select value={kind.name} onChange={(event) => choose(event.currentTarget.value)}>
          {kinds.map((each) => (
            <option key={each.name} value={each.name}>
              {each.name}
            </option>
          ))}
        </select>
      </label>
      <Parameters schema={kind.schema} />
      <label class="field">
        Arguments
        <textarea
          rows={9}
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
      <div class="grid" style={{ "--least": "150px" }}>
        <Text label="Queue" value={queue} set={setQueue} placeholder={kind.queue} />
        <Text label="Delay" value={delay} set={setDelay} placeholder="none, or 30s, 5m, 2h" />
        <Text label="Priority" value={priority} set={setPriority} placeholder={String(kind.priority)} />
      </div>
      {error && <Failure error={error} />}
      <div class="row apart">
        <Button onClick={onClose}>Leave it</Button>
        <Button kind="main" submit disabled={!!wrong}>
          Make the job
        </Button>
      </div>
    </form>
  );
}

function Text(props: { label: string; value: string; set: (text: string) => void; placeholder: string }): JSX.Element {
  return (
    <label class="field">
      {props.label}
      <input
        type="text"
        value={props.value}
        placeholder={props.placeholder}
        onInput={(event) => props.set(event.currentTarget.value)}
      />
    </label>
  );
}

/** The parameters that the kind takes, in a line each. */
function Parameters({ schema }: { schema: Record<string, unknown> | null }): JSX.Element | null {
  const whole = schema && followed(schema, schema);
  const properties = Object.entries(
    (whole?.properties ?? {}) as Record<string, { type?: unknown; description?: string }>,
  );
  if (!properties.length) return null;
  const required = new Set((whole?.required ?? []) as string[]);
  return (
    <ul class="row wrap">
      {properties.map(([name, property]) => (
        <li key={name} class="tag" title={property.description}>
          <code>{name}</code> {typeof property.type === "string" ? property.type : ""}
          {required.has(name) ? "" : ", may be left out"}
        </li>
      ))}
    </ul>
  );
}
