// A client that knows the OpenAPI document and nothing else: it makes a workflow, follows it live, and reads its result.
// node node_client.mjs <base URL> <credential>; prints what it saw as JSON.

const [base, credential] = process.argv.slice(2);
const headers = { authorization: `Bearer ${credential}` };
const document = await (await fetch(new URL("/openapi.json", base), { headers })).json();
const server = new URL(document.servers?.[0]?.url ?? "/", base);

/** The operation with this id, as the document has it. */
function find(operationId) {
  for (const [path, methods] of Object.entries(document.paths))
    for (const [method, operation] of Object.entries(methods))
      if (operation.operationId === operationId) return { path, method: method.toUpperCase(), operation };
  throw new Error(`the document has no operation ${operationId}`);
}

/** What a reference of the document stands for. */
function resolve(schema) {
  return schema.$ref ? schema.$ref.slice(2).split("/").reduce((found, name) => found[name], document) : schema;
}

async function call(operationId, { path: names = {}, query = {}, body } = {}) {
  const { path, method, operation } = find(operationId);
  const known = new Set((operation.parameters ?? []).map((each) => `${each.in}:${each.name}`));
  for (const name of Object.keys(query))
    if (!known.has(`query:${name}`)) throw new Error(`${operationId} has no parameter ${name}`);
  if (body !== undefined) {
    const schema = resolve(operation.requestBody.content["application/json"].schema);
    for (const name of Object.keys(body)) if (!schema.properties[name]) throw new Error(`${operationId}: no field ${name}`);
    for (const name of schema.required ?? []) if (!(name in body)) throw new Error(`${operationId}: ${name} is missing`);
  }
  const filled = path.replace(/\{(\w+)(?::path)?\}/g, (_, name) => encodeURIComponent(names[name]));
  const url = new URL(server.pathname.replace(/\/$/, "") + filled, base);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  const answer = await fetch(url, {
    method,
    headers: body === undefined ? headers : { ...headers, "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const told = operation.responses[answer.status];
  if (!answer.ok || !told) throw new Error(`${operationId} answered ${answer.status}: ${await answer.text()}`);
  const media = answer.headers.get("content-type").split(";")[0];
  if (!told.content[media]) throw new Error(`${operationId} answered ${media}, which the document does not tell`);
  return answer;
}

/** The messages of a stream of events. */
async function* messages(answer) {
  let rest = "";
  for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + chunk).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(
        block.split("\n").filter((line) => /^\w+: /.test(line)).map((line) => [line.slice(0, line.indexOf(": ")), line.slice(line.indexOf(": ") + 2)]),
      );
      if (fields.event) yield { event: fields.event, data: JSON.parse(fields.data) };
    }
  }
}

/** A cursor behind which nothing is missed: the journal is awake. */
async function cursor() {
  for (let after; ; ) {
    const page = await (await call("poll_events", { query: after ? { topics: "jobs", after } : { topics: "jobs" } })).json();
    if (after && !page.reset) return page.cursor;
    after = page.cursor;
    await new Promise((go) => setTimeout(go, 20));
  }
}

const stream = await call("stream_events", { query: { topics: "jobs", after: await cursor() } });
const made = await (
  await call("create_workflow", {
    body: {
      name: "sums",
      jobs: [
        { ref: "first", kind: "add", args: { a: 40 } },
        { ref: "second", kind: "add", args: { b: 100 }, inputs: { a: "first" } },
      ],
    },
  })
).json();

const names = Object.fromEntries(Object.entries(made.jobs).map(([ref, id]) => [id, ref]));
const seen = [];
let state = "";
for await (const { event, data } of messages(stream)) {
  const own = (data.changes ?? []).flatMap((change) => change.ids.filter((id) => names[id]).map((id) => [change.event, names[id]]));
  seen.push(...own.map(([what, ref]) => `${ref} ${what}`));
  if (event !== "reset" && !own.length) continue;
  const graph = await (await call("get_workflow", { path: { id: made.id } })).json();
  state = graph.state;
  if (["completed", "failed", "cancelled"].includes(state)) break; // leaving the loop closes the stream
}
const outcome = await (await call("get_job_result", { path: { id: made.jobs.second }, query: { wait: "30s" } })).json();
console.log(JSON.stringify({ openapi: document.openapi, state, seen, result: outcome.result }));
process.exit(0);
