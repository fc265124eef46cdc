/** The small pieces: buttons, cards, empty states, notices, figures, commands to copy. */
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem } from "../api/client";
import { Icon, type IconName } from "./icons";

export interface ButtonProps {
  children?: ComponentChildren;
  icon?: IconName;
  kind?: "main" | "danger" | "plain" | "main danger";
  small?: boolean;
  disabled?: boolean;
  title?: string;
  submit?: boolean;
  onClick?: (event: MouseEvent) => void;
}

export function Button(props: ButtonProps): JSX.Element {
  return (
    <button
      type={props.submit ? "submit" : "button"}
      class={`button ${props.kind ?? ""} ${props.small ? "small" : ""}`}
      disabled={props.disabled}
      title={props.title}
      onClick={props.onClick}
    >
      {props.icon && <Icon name={props.icon} />}
      {props.children}
    </button>
  );
}

export function IconButton(props: {
  icon: IconName;
  label: string;
  pressed?: boolean;
  expanded?: boolean;
  disabled?: boolean;
  class?: string;
  onClick: (event: MouseEvent) => void;
}): JSX.Element {
  return (
    <button
      type="button"
      class={`icon-button ${props.class ?? ""}`}
      aria-label={props.label}
      title={props.label}
      aria-pressed={props.pressed}
      aria-expanded={props.expanded}
      disabled={props.disabled}
      onClick={props.onClick}
    >
      <Icon name={props.icon} />
    </button>
  );
}

/** A titled box. `flush`: its content reaches to the edges. */
export function Card(props: {
  title?: ComponentChildren;
  acts?: ComponentChildren;
  flush?: boolean;
  class?: string;
  children: ComponentChildren;
}): JSX.Element {
  return (
    <section class={`card ${props.flush ? "flush" : ""} ${props.class ?? ""}`}>
      {(props.title || props.acts) && (
        <header>
          <h2>{props.title}</h2>
          {props.acts && <div class="acts">{props.acts}</div>}
        </header>
      )}
      <div class="body">{props.children}</div>
    </section>
  );
}

/** The head of a page, and the title of the window. The router moves the focus here when the page changes. */
export function PageHead(props: {
  title: ComponentChildren;
  children?: ComponentChildren;
  acts?: ComponentChildren;
}): JSX.Element {
  const head = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${head.current?.textContent} · Windlass`;
  }, [props.title]);
  return (
    <header class="page-head">
      <h1 tabIndex={-1} ref={head}>
        {props.title}
      </h1>
      {props.children}
      {props.acts && <div class="acts">{props.acts}</div>}
    </header>
  );
}

/** Nothing here, and the command that changes that. */
export function Empty(props: {
  icon?: IconName;
  title: string;
  children?: ComponentChildren;
  command?: string;
}): JSX.Element {
  return (
    <div class="empty">
      <Icon name={props.icon ?? "info"} />
      <strong>{props.title}</strong>
      {props.children && <p>{props.children}</p>}
      {props.command && <Command text={props.command} />}
    </div>
  );
}

export type Tone = "ok" | "warn" | "bad" | "note" | "dim";
const TONE_ICON: Record<Tone, IconName> = {
  ok: "check",
  warn: "errors",
  bad: "errors",
  note: "info",
  dim: "info",
};

export function Notice(props: { tone: Tone; children: ComponentChildren; acts?: ComponentChildren }): JSX.Element {
  return (
    <div class="notice" data-tone={props.tone}>
      <Icon name={TONE_ICON[props.tone]} />
      <div class="grow stack tight">{props.children}</div>
      {props.acts}
    </div>
  );
}

/** What went wrong, with what mends it. */
export function Failure({ error, retry }: { error: Error; retry?: () => void }): JSX.Element {
  const problem = error instanceof Problem ? error : null;
  return (
    <div role="alert">
      <Notice
        tone="bad"
        acts={
          retry && (
            <Button small icon="retry" onClick={retry}>
              Try again
            </Button>
          )
        }
      >
        <strong class="break">{problem?.sentence ?? error.message}</strong>
        {problem?.mend && <span class="soft">{problem.mend}</span>}
      </Notice>
    </div>
  );
}

/** A word on a tint. */
export function Pill({
  tone = "dim",
  children,
  title,
}: {
  tone?: Tone;
  children: ComponentChildren;
  title?: string;
}): JSX.Element {
  return (
    <span class="pill" data-tone={tone} title={title}>
      {children}
    </span>
  );
}

export function Figure(props: {
  label: string;
  value: ComponentChildren;
  unit?: string;
  hint?: ComponentChildren;
  tone?: Tone;
}): JSX.Element {
  return (
    <div class="figure" data-tone={props.tone}>
      <span class="label">{props.label}</span>
      <span class={`value ${props.tone === "bad" ? "bad" : props.tone === "warn" ? "warn" : ""}`}>
        {props.value} {props.unit && <small>{props.unit}</small>}
      </span>
      {props.hint && <span class="hint">{props.hint}</span>}
    </div>
  );
}

export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyTheOldWay(text); // plain HTTP on a LAN has no clipboard API
  }
}

function copyTheOldWay(text: string): boolean {
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

export function Copy({ text, label = "Copy" }: { text: string; label?: string }): JSX.Element {
  const [done, setDone] = useState(false);
  const copy = async (): Promise<void> => {
    if (!(await copyText(text))) return;
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return <IconButton icon={done ? "check" : "copy"} label={done ? "Copied" : label} onClick={copy} />;
}

/** A command line to copy. */
export function Command({ text }: { text: string }): JSX.Element {
  return (
    <span class="command">
      <code>{text}</code>
      <Copy text={text} label="Copy the command" />
    </span>
  );
}

export function Progress(props: { value: number; note?: string | null; full?: boolean; bare?: boolean }): JSX.Element {
  const value = Math.min(100, Math.max(0, props.value));
  return (
    <span class={`progress ${props.full ? "full" : ""}`}>
      <span
        class="track"
        role="progressbar"
        aria-label="progress"
        aria-valuenow={value}
        aria-valuemin={0}
        aria-valuemax={100}
      >
        <i style={{ width: `${value}%` }} />
      </span>
      {!props.bare && `${Math.round(value)} %`}
      {props.note && <span class="cut">{props.note}</span>}
    </span>
  );
}

/** Lines that stand where content will be, so that nothing jumps when it comes. */
export function Skeleton({ lines = 6 }: { lines?: number }): JSX.Element {
  return (
    <div class="stack" aria-busy="true" aria-live="polite">
      <span class="hidden-visually">loading</span>
      {Array.from({ length: lines }, (_, number) => (
        <div key={number} class="skeleton" style={{ width: `${90 - ((number * 17) % 40)}%` }} />
      ))}
    </div>
  );
}

/** What a page shows while it has no data: a skeleton, or what went wrong. */
export function Waiting({ error, retry, lines }: { error?: Error; retry?: () => void; lines?: number }): JSX.Element {
  return error ? <Failure error={error} retry={retry} /> : <Skeleton lines={lines} />;
}
