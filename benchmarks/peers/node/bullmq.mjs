// BullMQ for Node: 100 jobs at once per process.
import { load, run, url } from "./job.mjs";

const { Queue, Worker } = load("bullmq");
const IORedis = load("ioredis");
const Redis = IORedis.default ?? IORedis;
const connection = () => new Redis(url, { maxRetriesPerRequest: null });

export const connect = () => new Queue("bench", { connection: connection() });
export const enqueue = (queue, data) => queue.add("run", data);
export const enqueueBulk = (queue, batch) => queue.addBulk(batch.map((data) => ({ name: "run", data })));
export const close = (queue) => queue.close();

export function work() {
  const options = { concurrency: 100, stalledInterval: 5000, lockDuration: 10000 };
  return new Worker("bench", async (job) => run(job.data), { connection: connection(), ...options });
}
