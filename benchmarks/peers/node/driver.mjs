// Runs one verb of one adapter and prints what it measured as JSON: `driver.mjs ADAPTER VERB [NUMBERS...]`.
// An adapter exports connect() -> handle, enqueue(handle, data), enqueueBulk(handle, batch), close(handle), work(),
// and prepare() where a schema must be made first.
import { setTimeout as sleep } from "node:timers/promises";
import { payload } from "./job.mjs";

const CHUNK = 1000;
const LANES = 100;
const [, , name, verb, ...given] = process.argv;
const adapter = await import(`./${name}.mjs`);
const since = (begun) => Number(process.hrtime.bigint() - begun) / 1e9;

const verbs = {
  async prepare() {
    await adapter.prepare?.();
    return null;
  },

  async enqueue(handle, first, count, budget) {
    const begun = process.hrtime.bigint();
    for (let number = first; number < first + count; number++) {
      await adapter.enqueue(handle, payload(number));
      if (since(begun) > budget) count = number + 1 - first;
    }
    return { count, seconds: since(begun) };
  },

  async concurrent(handle, first, count, budget) {
    const begun = process.hrtime.bigint();
    let next = first;
    let done = 0;
    const lane = async () => {
      while (next < first + count && since(begun) < budget) {
        await adapter.enqueue(handle, payload(next++));
        done++;
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    return { count: done, seconds: since(begun) };
  },

  async bulk(handle, first, count, budget) {
    let seconds = 0;
    let done = 0;
    while (done < count && seconds < budget) {
      const batch = Array.from({ length: Math.min(CHUNK, count - done) }, (_, i) => payload(first + done + i));
      const begun = process.hrtime.bigint();
      await adapter.enqueueBulk(handle, batch);
      seconds += since(begun);
      done += batch.length;
    }
    return { count: done, seconds };
  },

  async paced(handle, first, count, gap) {
    const begun = [];
    for (let number = first; number < first + count; number++) {
      await sleep(gap * 1000);
      begun.push(Number(process.hrtime.bigint()));
      await adapter.enqueue(handle, payload(number));
    }
    return begun;
  },
};

if (verb === "work") {
  await adapter.work();
} else {
  const handle = verb === "prepare" ? null : await adapter.connect();
  console.log(JSON.stringify(await verbs[verb](handle, ...given.map(Number))));
  if (handle) await adapter.close(handle);
  process.exit(0);
}
