/** The filter language of the API, as far as the search box has to know it: where the cursor is, and what may stand there. */

export interface Term {
  from: number;
  to: number;
  negated: boolean;
  /** Empty for a bare word. */
  field: string;
  value: string;
}

const TERM = /(-)?(?:([A-Za-z_][\w.-]*):)?((?:"(?:[^"\\]|\\.)*"?|[^\s"])*)/y;

/** The terms of a query, complete or not. */
export function terms(text: string): Term[] {
  const found: Term[] = [];
  let at = 0;
  while (at < text.length) {
    if (/\s/.test(text[at]!)) {
      at += 1;
      continue;
    }
    TERM.lastIndex = at;
    const match = TERM.exec(text);
    if (!match?.[0]) {
      at += 1;
      continue;
    }
    const [whole, no, field, value] = match;
    found.push({ from: at, to: at + whole.length, negated: !!no, field: field ?? "", value: value ?? "" });
    at += whole.length;
  }
  return found;
}

export interface Field {
  name: string;
  hint: string;
}

export const FIELDS: readonly Field[] = [
  { name: "state", hint: "waiting, failed, ..." },
  { name: "kind", hint: "send_email, send_*" },
  { name: "queue", hint: "the queue's name" },
  { name: "error", hint: "text of the error" },
  { name: "user", hint: "whose job it is" },
  { name: "tag", hint: "a tag" },
  { name: "age", hint: ">1h: created before an hour" },
  { name: "finished", hint: "<10m: ended within 10 minutes" },
  { name: "created", hint: ">2030-01-31T06:00Z" },
  { name: "args.", hint: "args.to:a@example.com" },
  { name: "result.", hint: "a field of the result" },
  { name: "priority", hint: ">=10" },
  { name: "attempt", hint: ">3" },
  { name: "id", hint: "one or more ids" },
  { name: "name", hint: "the job's own name" },
  { name: "worker", hint: "who ran it" },
  { name: "workflow", hint: "id of a workflow" },
  { name: "project", hint: "a project" },
  { name: "group", hint: "a group" },
  { name: "unique", hint: "a unique key" },
  { name: "reason", hint: "why it ended" },
  { name: "rescues", hint: ">0: a worker was lost" },
];

export interface Suggestion {
  /** What takes the place of the text from `from` to `to`. */
  text: string;
  shown: string;
  hint: string;
  from: number;
  to: number;
}

/** Known values by field. */
export type Values = Readonly<Record<string, readonly string[]>>;

/** What may stand where the cursor is. */
export function suggest(text: string, cursor: number, values: Values): Suggestion[] {
  const term = terms(text).find((each) => each.from < cursor && cursor <= each.to);
  if (!term) return cursor === text.length || /\s/.test(text[cursor] ?? " ") ? fields("", cursor, cursor, false) : [];
  const colon = text.indexOf(":", term.from);
  if (!term.field || cursor <= colon) {
    const typed = text.slice(term.from + (term.negated ? 1 : 0), cursor);
    return fields(typed, term.from, term.to, term.negated);
  }
  const begin = Math.max(colon, text.lastIndexOf(",", cursor - 1)) + 1;
  const typed = text.slice(begin, cursor).toLowerCase();
  return (values[term.field] ?? [])
    .filter((value) => value.toLowerCase().includes(typed) && value.toLowerCase() !== typed)
    .sort((a, b) => Number(b.toLowerCase().startsWith(typed)) - Number(a.toLowerCase().startsWith(typed)))
    .slice(0, 12)
    .map((value) => ({
      text: quoted(value),
      shown: value,
      hint: term.field,
      from: begin,
      to: Math.max(cursor, endOf(text, cursor)),
    }));
}

function endOf(text: string, cursor: number): number {
  const rest = /[\s,]/.exec(text.slice(cursor));
  return rest ? cursor + rest.index : text.length;
}

function fields(typed: string, from: number, to: number, negated: boolean): Suggestion[] {
  const wanted = typed.toLowerCase();
  return FIELDS.filter((field) => field.name.startsWith(wanted) && field.name !== wanted).map((field) => {
    const open = field.name.endsWith(".") ? field.name : `${field.name}:`;
    return { text: (negated ? "-" : "") + open, shown: open, hint: field.hint, from, to };
  });
}

/** A value as it has to be written. */
export function quoted(value: string): string {
  return /^[^\s",]+$/.test(value) ? value : `"${value.replace(/(["\\])/g, "\\$1")}"`;
}

/** The values of a field, if the query names them plainly. */
export function valuesOf(text: string, field: string): string[] {
  const term = terms(text).find((each) => each.field === field && !each.negated);
  return term?.value.split(",").filter(Boolean) ?? [];
}

/** The query with a field set to one value, or without it. */
export function withField(text: string, field: string, value: string | null): string {
  const kept = terms(text)
    .filter((each) => each.field !== field || each.negated)
    .map((each) => text.slice(each.from, each.to));
  return (value === null ? kept : [`${field}:${quoted(value)}`, ...kept]).join(" ");
}
