// pg-boss on PostgreSQL: batches of 500, four at a time, fetching again at once while batches come back full.
import { load, run, url } from "./job.mjs";

const loaded = load("pg-boss");
const PgBoss = loaded.PgBoss ?? loaded.default ?? loaded;

export async function connect() {
  const boss = new PgBoss({ connectionString: url });
  boss.on("error", (error) => console.error(error));
  await boss.start();
  return boss;
}

export async function prepare() {
  const boss = await connect();
  await boss.createQueue("bench");
  await boss.stop({ graceful: false });
}

export const enqueue = (boss, data) => boss.send("bench", data);
export const enqueueBulk = (boss, batch) => boss.insert("bench", batch.map((data) => ({ data })));
export const close = (boss) => boss.stop({ graceful: false });

export async function work() {
  const boss = await connect();
  const options = { batchSize: 500, localConcurrency: 4, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 };
  await boss.work("bench", options, async (jobs) => void jobs.forEach((job) => run(job.data)));
}
