/** The search box: the filter language with completion of fields and values, as an ARIA combobox. */
import type { JSX } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { type Suggestion, suggest, type Values } from "../text/query";
import { IconButton } from "./basics";
import { Icon } from "./icons";

export function Search(props: {
  value: string;
  onSearch: (text: string) => void;
  values: Values;
  /** Called at the first focus: what it takes to complete values can be read then. */
  onFirstFocus?: () => void;
  placeholder: string;
  wrong?: string;
}): JSX.Element {
  const [text, setText] = useState(props.value);
  const [open, setOpen] = useState(false);
  const [at, setAt] = useState(-1);
  const [cursor, setCursor] = useState(0);
  const box = useRef<HTMLInputElement>(null);
  const asked = useRef(false);
  const id = useId();
  useEffect(() => setText(props.value), [props.value]);

  const found = open ? suggest(text, cursor, props.values) : [];
  const take = (each: Suggestion): void => {
    const next = text.slice(0, each.from) + each.text + text.slice(each.to);
    const place = each.from + each.text.length;
    setText(next);
    setCursor(place);
    setAt(-1);
    requestAnimationFrame(() => {
      box.current?.focus();
      box.current?.setSelectionRange(place, place);
    });
  };
  const run = (next: string): void => {
    setOpen(false);
    setAt(-1);
    props.onSearch(next.trim());
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      setOpen(true);
      if (found.length) setAt((at + (event.key === "ArrowDown" ? 1 : found.length) + (at < 0 ? 0 : 0)) % found.length);
    } else if (event.key === "Tab" && open && found.length && at >= 0) {
      event.preventDefault();
      take(found[at]!);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (at >= 0 && found[at]) take(found[at]);
      else run(text);
    } else if (event.key === "Escape") {
      if (open && found.length) setOpen(false);
      else box.current?.blur();
    }
  };
  const look = (): void => setCursor(box.current?.selectionStart ?? 0);
  return (
    <search class="search">
      <Icon name="search" />
      <input
        ref={box}
        type="text"
        inputMode="search"
        enterKeyHint="search"
        role="combobox"
        aria-label="Search jobs"
        aria-expanded={found.length > 0}
        aria-controls={`${id}-list`}
        aria-autocomplete="list"
        aria-activedescendant={at >= 0 ? `${id}-${at}` : undefined}
        autocomplete="off"
        spellcheck={false}
        placeholder={props.placeholder}
        value={text}
        onInput={(event) => {
          setText(event.currentTarget.value);
          setOpen(true);
          setAt(-1);
          look();
        }}
        onFocus={() => {
          if (!asked.current) props.onFirstFocus?.();
          asked.current = true;
          setOpen(true);
          look();
        }}
        onClick={look}
        onKeyUp={look}
        onBlur={() => setOpen(false)}
        onKeyDown={onKeyDown}
      />
      {text && <IconButton class="clear" icon="close" label="Clear the search" onClick={() => run("")} />}
      <div class="options" id={`${id}-list`} role="listbox" aria-label="Suggestions" hidden={!found.length}>
        {found.map((each, place) => (
          <div
            key={each.text}
            id={`${id}-${place}`}
            role="option"
            tabIndex={-1}
            aria-selected={place === at}
            onPointerDown={(event) => {
              event.preventDefault();
              take(each);
            }}
          >
            <code>{each.shown}</code>
            <span>{each.hint}</span>
          </div>
        ))}
      </div>
      {props.wrong && (
        <p class="wrong" role="alert">
          {props.wrong}
        </p>
      )}
    </search>
  );
}
