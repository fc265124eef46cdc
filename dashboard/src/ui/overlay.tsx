/** What lies over the page: dialogs, toasts, menus. */
import { signal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { Problem } from "../api/client";
import { Button, IconButton, type Tone } from "./basics";
import { Icon, type IconName } from "./icons";

/** A modal dialog; Escape and its cross close it. It is there as long as it is rendered. */
export function Dialog(props: {
  title: string;
  onClose: () => void;
  wide?: boolean;
  children: ComponentChildren;
  footer?: ComponentChildren;
}): JSX.Element {
  const box = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    box.current?.showModal();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    <dialog ref={box} class={props.wide ? "wide" : ""} aria-labelledby={id} onClose={props.onClose}>
      <header>
        <h2 id={id}>{props.title}</h2>
        <IconButton icon="close" label="Close" onClick={props.onClose} />
      </header>
      <div class="body">{props.children}</div>
      {props.footer && <footer>{props.footer}</footer>}
    </dialog>
  );
}

export interface Asked {
  title: string;
  text: ComponentChildren;
  act: string;
  danger?: boolean;
  run: () => unknown;
}

const asked = signal<Asked | null>(null);

/** Ask before something that cannot be taken back. */
export function confirm(question: Asked): void {
  asked.value = question;
}

interface Toast {
  id: number;
  tone: Tone;
  text: ComponentChildren;
  act?: { label: string; run: () => void };
}

const toasts = signal<Toast[]>([]);
let next = 0;

/** Say something at the corner; the answer takes it away again. `stay`: until somebody does. */
export function toast(
  tone: Tone,
  text: ComponentChildren,
  options: { act?: Toast["act"]; stay?: boolean } = {},
): () => void {
  next += 1;
  const id = next;
  const drop = (): void => {
    toasts.value = toasts.value.filter((each) => each.id !== id);
  };
  toasts.value = [...toasts.value.slice(-3), { id, tone, text, act: options.act }];
  if (!options.stay) setTimeout(drop, tone === "bad" ? 12_000 : 5_000);
  return drop;
}

/** Do something that asks the server; say what became of it. Whether it worked. */
export async function attempt(act: () => Promise<unknown>, done?: ComponentChildren): Promise<boolean> {
  try {
    await act();
    if (done) toast("ok", done);
    return true;
  } catch (error) {
    toast("bad", error instanceof Problem ? error.sentence : (error as Error).message);
    return false;
  }
}

/** Rendered once, by the shell. */
export function Overlays(): JSX.Element {
  const question = asked.value;
  const close = (): void => {
    asked.value = null;
  };
  return (
    <>
      {question && (
        <Dialog
          title={question.title}
          onClose={close}
          footer={
            <>
              <Button onClick={close}>Keep it as it is</Button>
              <Button
                kind={question.danger ? "main danger" : "main"}
                onClick={() => {
                  close();
                  question.run();
                }}
              >
                {question.act}
              </Button>
            </>
          }
        >
          <p>{question.text}</p>
        </Dialog>
      )}
      <div class="toasts" role="status" aria-live="polite">
        {toasts.value.map((each) => (
          <div key={each.id} class="toast" data-tone={each.tone}>
            <Icon name={each.tone === "ok" ? "check" : each.tone === "bad" ? "errors" : "info"} />
            <div class="grow break">{each.text}</div>
            {each.act && (
              <Button small onClick={each.act.run}>
                {each.act.label}
              </Button>
            )}
            <IconButton
              icon="close"
              label="Dismiss"
              onClick={() => {
                toasts.value = toasts.value.filter((other) => other.id !== each.id);
              }}
            />
          </div>
        ))}
      </div>
    </>
  );
}

export interface MenuItem {
  label: string;
  icon?: IconName;
  danger?: boolean;
  disabled?: boolean;
  run: () => void;
}

/** A button that opens a list of acts; arrows move, Escape closes. Children are shown instead of `items` where given. */
export function Menu(props: {
  label: string;
  icon?: IconName;
  text?: string;
  items?: MenuItem[];
  left?: boolean;
  children?: ComponentChildren;
}): JSX.Element {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!open) return;
    const close = (event: Event): void => {
      if (!box.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", close);
    document.addEventListener("focusin", close);
    box.current?.querySelector<HTMLElement>("ul button, ul a, ul input")?.focus();
    return () => {
      document.removeEventListener("pointerdown", close);
      document.removeEventListener("focusin", close);
    };
  }, [open]);
  const onKeyDown = (event: KeyboardEvent): void => {
    if (!open) return;
    if (event.key === "Escape") {
      event.stopPropagation();
      setOpen(false);
      box.current?.querySelector("button")?.focus();
    }
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    const all = [...(box.current?.querySelectorAll<HTMLElement>("ul button:not(:disabled), ul a, ul input") ?? [])];
    const at = all.indexOf(document.activeElement as HTMLElement);
    all[(at + (event.key === "ArrowDown" ? 1 : -1) + all.length) % all.length]?.focus();
  };
  return (
    <div class="menu" ref={box} onKeyDown={onKeyDown}>
      {props.text ? (
        <button type="button" class="button" aria-expanded={open} aria-haspopup="true" onClick={() => setOpen(!open)}>
          {props.icon && <Icon name={props.icon} />}
          {props.text}
          <Icon name="down" />
        </button>
      ) : (
        <IconButton icon={props.icon ?? "more"} label={props.label} expanded={open} onClick={() => setOpen(!open)} />
      )}
      {open && (
        <ul class={props.left ? "left" : ""} aria-label={props.label}>
          {props.children ??
            props.items?.map((item) => (
              <li key={item.label}>
                <button
                  type="button"
                  class={item.danger ? "danger" : ""}
                  disabled={item.disabled}
                  onClick={() => {
                    setOpen(false);
                    item.run();
                  }}
                >
                  {item.icon && <Icon name={item.icon} />}
                  {item.label}
                </button>
              </li>
            ))}
        </ul>
      )}
    </div>
  );
}
