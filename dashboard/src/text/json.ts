/**
 * JSON as it was written. JavaScript's numbers end at 2^53, and people have ids beyond that: what is shown and sent again is
 * taken from the text, never through a number.
 */

export type Json = Leaf | ArrayNode | ObjectNode;

interface Placed {
  /** Where it stands in the text. */
  from: number;
  to: number;
}

export interface Leaf extends Placed {
  kind: "string" | "number" | "word";
  /** Strings decoded, all else as it is written. */
  value: string;
}

export interface ArrayNode extends Placed {
  kind: "array";
  items: Json[];
}

export interface ObjectNode extends Placed {
  kind: "object";
  members: [string, Json][];
}

const SPACE = /[ \t\n\r]*/y;
const STRING = /"(?:[^"\\]|\\.)*"/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /true|false|null/y;

class Reader {
  at = 0;
  constructor(private readonly text: string) {}

  whole(): Json {
    const value = this.value(0);
    this.skip(SPACE);
    if (this.at < this.text.length) throw this.wrong();
    return value;
  }

  private value(depth: number): Json {
    if (depth > 400) throw new SyntaxError("nested too deep");
    this.skip(SPACE);
    const from = this.at;
    const first = this.text[from];
    if (first === "{") return this.object(from, depth);
    if (first === "[") return this.array(from, depth);
    if (first === '"') return { kind: "string", value: JSON.parse(this.take(STRING)) as string, from, to: this.at };
    const kind = first === "t" || first === "f" || first === "n" ? "word" : "number";
    return { kind, value: this.take(kind === "word" ? WORD : NUMBER), from, to: this.at };
  }

  private object(from: number, depth: number): ObjectNode {
    const members: [string, Json][] = [];
    this.list("}", () => {
      this.skip(SPACE);
      const name = JSON.parse(this.take(STRING)) as string;
      this.skip(SPACE);
      if (this.text[this.at++] !== ":") throw this.wrong();
      members.push([name, this.value(depth + 1)]);
    });
    return { kind: "object", members, from, to: this.at };
  }

  private array(from: number, depth: number): ArrayNode {
    const items: Json[] = [];
    this.list("]", () => items.push(this.value(depth + 1)));
    return { kind: "array", items, from, to: this.at };
  }

  private list(end: string, one: () => void): void {
    this.at += 1;
    this.skip(SPACE);
    if (this.text[this.at] === end) {
      this.at += 1;
      return;
    }
    for (;;) {
      one();
      this.skip(SPACE);
      const next = this.text[this.at++];
      if (next === end) return;
      if (next !== ",") throw this.wrong();
    }
  }

  private skip(pattern: RegExp): void {
    pattern.lastIndex = this.at;
    pattern.test(this.text);
    this.at = pattern.lastIndex;
  }

  private take(pattern: RegExp): string {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (!found) throw this.wrong();
    this.at = pattern.lastIndex;
    return found[0];
  }

  private wrong(): SyntaxError {
    const line = this.text.slice(0, this.at).split("\n").length;
    return new SyntaxError(`line ${line}: this is not JSON`);
  }
}

/** Reads JSON text; throws `SyntaxError` naming the line. */
export function readJson(text: string): Json {
  return new Reader(text).whole();
}

/** What stands at a path; undefined if nothing does. */
export function dig(node: Json | undefined, ...path: (string | number)[]): Json | undefined {
  let found = node;
  for (const step of path) {
    if (found?.kind === "object") found = found.members.find(([name]) => name === step)?.[1];
    else if (found?.kind === "array" && typeof step === "number") found = found.items[step];
    else return undefined;
  }
  return found;
}

/** The text of a node. */
export function textOf(text: string, node: Json | undefined): string {
  return node ? text.slice(node.from, node.to) : "";
}

/** The text with line breaks and indents, its numbers and strings untouched. */
export function pretty(text: string, node: Json = readJson(text), indent = ""): string {
  const inner = `${indent}  `;
  if (node.kind === "array") {
    if (!node.items.length) return "[]";
    return `[\n${node.items.map((item) => inner + pretty(text, item, inner)).join(",\n")}\n${indent}]`;
  }
  if (node.kind === "object") {
    if (!node.members.length) return "{}";
    const lines = node.members.map(([name, value]) => `${inner}${JSON.stringify(name)}: ${pretty(text, value, inner)}`);
    return `{\n${lines.join(",\n")}\n${indent}}`;
  }
  return text.slice(node.from, node.to);
}

/** One line of what matters: `to: a@example.com, page: 3`. */
export function preview(node: Json | undefined, most = 120): string {
  if (!node) return "";
  const text =
    node.kind === "object" ? node.members.map(([name, value]) => `${name}: ${brief(value)}`).join(", ") : brief(node);
  return text.length > most ? `${text.slice(0, most)}…` : text;
}

function brief(node: Json): string {
  if (node.kind === "array") return node.items.length ? `[${node.items.length}]` : "[]";
  if (node.kind === "object") return node.members.length ? `{${node.members.length}}` : "{}";
  return node.kind === "string" && node.value === "" ? '""' : node.value;
}
