/** JSON as a tree that folds; made from the text, so that no number changes on the way. */
import type { JSX } from "preact";
import { type Json, pretty, readJson } from "../text/json";
import { Copy } from "./basics";

const MOST = 200;

export function JsonTree({ text, label = "JSON" }: { text: string; label?: string }): JSX.Element {
  let node: Json;
  try {
    node = readJson(text);
  } catch {
    return <pre class="trace">{text}</pre>;
  }
  return (
    <div class="row" style={{ alignItems: "flex-start" }}>
      <div class="json grow">
        <Node node={node} depth={0} />
      </div>
      <Copy text={pretty(text, node)} label={`Copy ${label}`} />
    </div>
  );
}

function Node({ node, name, depth }: { node: Json; name?: string; depth: number }): JSX.Element {
  const key = name === undefined ? null : <span class="key">{name}: </span>;
  if (node.kind !== "array" && node.kind !== "object") {
    return (
      <div class="leaf">
        {key}
        <span class={node.kind}>{node.kind === "string" ? JSON.stringify(node.value) : node.value}</span>
      </div>
    );
  }
  const inner: [string, Json][] =
    node.kind === "object" ? node.members : node.items.map((item, at) => [String(at), item]);
  const sum = node.kind === "object" ? `{ ${inner.length} }` : `[ ${inner.length} ]`;
  if (!inner.length) {
    return (
      <div class="leaf">
        {key}
        <span class="sum">{node.kind === "object" ? "{}" : "[]"}</span>
      </div>
    );
  }
  return (
    <details open={depth < 2 && inner.length <= 40}>
      <summary>
        {key}
        <span class="sum">{sum}</span>
      </summary>
      <ul>
        {inner.slice(0, MOST).map(([each, value]) => (
          <li key={each}>
            <Node node={value} name={each} depth={depth + 1} />
          </li>
        ))}
        {inner.length > MOST && <li class="sum">and {inner.length - MOST} more; copy to see them</li>}
      </ul>
    </details>
  );
}
