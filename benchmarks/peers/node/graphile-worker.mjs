// Graphile Worker on PostgreSQL: 100 jobs at once, a local queue of 500, completions batched without delay.
import { load, run, url } from "./job.mjs";

const { Logger, makeWorkerUtils, run: runWorker, runMigrations } = load("graphile-worker");
const logger = new Logger(() => () => {});

export const prepare = () => runMigrations({ connectionString: url, logger });
export const connect = () => makeWorkerUtils({ connectionString: url, logger });
export const enqueue = (utils, data) => utils.addJob("run", data);
export const enqueueBulk = (utils, batch) => utils.addJobs(batch.map((payload) => ({ identifier: "run", payload })));
export const close = (utils) => utils.release();

export function work() {
  const worker = { concurrentJobs: 100, maxPoolSize: 20, localQueue: { size: 500 }, completeJobBatchDelay: 0 };
  return runWorker({
    preset: { worker: { ...worker, connectionString: url, logger } },
    taskList: { run: async (data) => void run(data) },
  });
}
