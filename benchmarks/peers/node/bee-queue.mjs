// bee-queue: 100 jobs at once per process; it keeps a job's status, its result goes out by pubsub only.
import { load, run, url } from "./job.mjs";

const Queue = load("bee-queue");
const queue = (isWorker) => new Queue("bench", { redis: { url }, isWorker, getEvents: false, storeJobs: false });

export const connect = () => queue(false).ready();
export const enqueue = (handle, data) => handle.createJob(data).save();

export async function enqueueBulk(handle, batch) {
  const errors = await handle.saveAll(batch.map((data) => handle.createJob(data)));
  if (errors.size) throw [...errors.values()][0];
}

export const close = (handle) => handle.close();

export function work() {
  const handle = queue(true);
  handle.process(100, async (job) => run(job.data));
  handle.checkStalledJobs(5000);
}
