/** Tabs: arrows move between them, as the ARIA pattern has it. */
import type { ComponentChildren, JSX } from "preact";
import { useId, useRef } from "preact/hooks";

export interface Tab {
  key: string;
  title: string;
  count?: number;
}

export function Tabs(props: {
  tabs: readonly Tab[];
  at: string;
  onChange: (key: string) => void;
  label: string;
  children: ComponentChildren;
}): JSX.Element {
  const list = useRef<HTMLDivElement>(null);
  const id = useId();
  const move = (event: KeyboardEvent): void => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!step) return;
    const place = props.tabs.findIndex((tab) => tab.key === props.at);
    const next = (place + step + props.tabs.length) % props.tabs.length;
    props.onChange(props.tabs[next]!.key);
    list.current?.querySelectorAll("button")[next]?.focus();
  };
  return (
    <>
      <div class="tabs" role="tablist" aria-label={props.label} ref={list} onKeyDown={move}>
        {props.tabs.map((tab) => (
          <button
            key={tab.key}
            type="button"
            role="tab"
            id={`${id}-${tab.key}`}
            aria-selected={tab.key === props.at}
            aria-controls={`${id}-panel`}
            tabIndex={tab.key === props.at ? 0 : -1}
            onClick={() => props.onChange(tab.key)}
          >
            {tab.title}
            {tab.count !== undefined && <span class="count"> {tab.count}</span>}
          </button>
        ))}
      </div>
      <div role="tabpanel" id={`${id}-panel`} aria-labelledby={`${id}-${props.at}`}>
        {props.children}
      </div>
    </>
  );
}
