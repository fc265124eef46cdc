/** The table of every list: columns that can be chosen, selection with shift, keys to move, paging by cursors. */
import type { Signal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { columns as chosen } from "../state/prefs";
import { Button } from "./basics";
import { Menu } from "./overlay";

export interface Column<T> {
  key: string;
  title: string;
  cell: (row: T) => ComponentChildren;
  /** Numbers stand right. */
  num?: boolean;
  /** As narrow as its content; `wide` takes what is left and cuts what is longer. */
  width?: "fit" | "wide";
  /** Shown from this width of the window on; without it always. */
  from?: "md" | "lg" | "xl";
  /** Only shown once somebody switches it on. */
  optional?: boolean;
}

export interface Selection {
  ids: Signal<ReadonlySet<string>>;
}

export interface TableProps<T> {
  /** What the list is, for screen readers; with `name`, the columns chosen are remembered. */
  label: string;
  name?: string;
  columns: readonly Column<T>[];
  rows: readonly T[];
  rowKey: (row: T) => string;
  /** What a row is called where its checkbox is said aloud. */
  rowLabel?: (row: T) => string;
  selection?: Selection;
  /** Enter on a row, with j and k as moves. */
  onOpen?: (row: T) => void;
  rowClass?: (row: T) => string;
  empty?: ComponentChildren;
}

/** The columns that are on. */
export function shownColumns<T>(name: string | undefined, all: readonly Column<T>[]): readonly Column<T>[] {
  const own = name ? chosen.value[name] : undefined;
  return all
    .filter((column) => own?.[column.key] ?? !column.optional)
    .map((column) => (own?.[column.key] ? { ...column, from: undefined } : column)); // asked for: however narrow it is
}

export function Table<T>(props: TableProps<T>): JSX.Element {
  const { rows, rowKey, selection } = props;
  const shown = shownColumns(props.name, props.columns);
  const [at, setAt] = useState(-1);
  const last = useRef(-1);
  const body = useRef<HTMLTableSectionElement>(null);
  const picked = selection?.ids.value;

  const pick = (place: number, on: boolean, range: boolean): void => {
    if (!selection) return;
    const next = new Set(selection.ids.value);
    const from = range && last.current >= 0 ? Math.min(last.current, place) : place;
    const to = range && last.current >= 0 ? Math.max(last.current, place) : place;
    for (const row of rows.slice(from, to + 1)) on ? next.add(rowKey(row)) : next.delete(rowKey(row));
    last.current = place;
    selection.ids.value = next;
  };

  useRowKeys(rows.length, at, setAt, (key) => {
    const row = rows[at];
    if (!row) return;
    if (key === "Enter") props.onOpen?.(row);
    if (key === "x") pick(at, !picked?.has(rowKey(row)), false);
  });
  useEffect(() => {
    body.current?.querySelector("tr.at")?.scrollIntoView({ block: "nearest" });
  }, [at]);

  if (!rows.length) return <>{props.empty}</>;
  const all = !!picked && rows.every((row) => picked.has(rowKey(row)));
  return (
    <div class="table-box">
      <table class="table" aria-label={props.label}>
        <thead>
          <tr>
            {selection && (
              <th class="pick" scope="col">
                <input
                  type="checkbox"
                  aria-label={all ? "Select none" : "Select all shown"}
                  checked={all}
                  onClick={() => {
                    selection.ids.value = all ? new Set() : new Set(rows.map(rowKey));
                  }}
                />
              </th>
            )}
            {shown.map((column) => (
              <th key={column.key} scope="col" class={classOf(column)}>
                {column.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody ref={body}>
          {rows.map((row, place) => {
            const key = rowKey(row);
            const on = picked?.has(key) ?? false;
            return (
              <tr
                key={key}
                class={`${place === at ? "at " : ""}${on ? "chosen " : ""}${props.rowClass?.(row) ?? ""}`}
                onDblClick={() => props.onOpen?.(row)}
              >
                {selection && (
                  <td class="pick">
                    <input
                      type="checkbox"
                      aria-label={`Select ${props.rowLabel?.(row) ?? key}`}
                      checked={on}
                      onClick={(event) => pick(place, !on, event.shiftKey)}
                    />
                  </td>
                )}
                {shown.map((column) => (
                  <td key={column.key} class={classOf(column)}>
                    {column.cell(row)}
                  </td>
                ))}
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function classOf(column: Column<never>): string {
  return [column.num && "num", column.width, column.from && `from-${column.from}`].filter(Boolean).join(" ");
}

/** j and k move, x selects, Enter opens; not while somebody types, and not beneath a dialog. */
function useRowKeys(count: number, at: number, setAt: (at: number) => void, act: (key: string) => void): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (isTyping(event) || document.querySelector("dialog[open]")) return;
      if (event.key === "j" || event.key === "k") {
        setAt(Math.min(count - 1, Math.max(0, at + (event.key === "j" ? 1 : -1))));
        event.preventDefault();
      } else if (event.key === "x" || (event.key === "Enter" && !isControl(event.target))) act(event.key);
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  });
}

/** Whether a key belongs to a field, or to a shortcut of the browser. */
export function isTyping(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement;
  if (event.ctrlKey || event.metaKey || event.altKey) return true;
  return target.matches?.("input:not([type=checkbox]), textarea, select, [contenteditable]") ?? false;
}

function isControl(target: EventTarget | null): boolean {
  return (target as HTMLElement | null)?.closest("a, button, input, summary") !== null;
}

/** Which columns to show. */
export function ColumnChooser<T>({ name, columns }: { name: string; columns: readonly Column<T>[] }): JSX.Element {
  const own = chosen.value[name] ?? {};
  return (
    <Menu label="Columns" icon="columns">
      {columns.map((column) => (
        <li key={column.key}>
          <label>
            <input
              type="checkbox"
              checked={own[column.key] ?? !column.optional}
              onChange={(event) => {
                const on = event.currentTarget.checked;
                chosen.value = { ...chosen.value, [name]: { ...own, [column.key]: on } };
              }}
            />
            {column.title}
          </label>
        </li>
      ))}
    </Menu>
  );
}

/** Older and newer; there are no page numbers, because nobody counts to a million for them. */
export function Paging(props: {
  words: ComponentChildren;
  newer?: () => void;
  newest?: () => void;
  older?: () => void;
}): JSX.Element {
  return (
    <nav class="paging" aria-label="Pages">
      <span class="grow">{props.words}</span>
      {props.newest && (
        <Button small onClick={props.newest}>
          Newest
        </Button>
      )}
      <Button small icon="left" disabled={!props.newer} onClick={() => props.newer?.()}>
        Newer
      </Button>
      <Button small disabled={!props.older} onClick={() => props.older?.()}>
        Older
      </Button>
    </nav>
  );
}
