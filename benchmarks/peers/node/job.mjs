// The one job every Node peer runs: the same dict in and out and the same 16 bytes appended as in ../python/job.py.
import { openSync, writeSync } from "node:fs";
import { createRequire } from "node:module";

export const url = process.env.BENCH_URL;

// A peer's packages live in its own folder, not above this file, so they are loaded from there by name.
export const load = createRequire(`${process.env.BENCH_MODULES}/`);

const effects = openSync(process.env.BENCH_EFFECTS, "a");
const entry = Buffer.alloc(16);

export function payload(number) {
  return {
    n: number,
    to: "someone@example.com",
    subject: "Your order has shipped",
    body: "Parcel on its way; track it with the link below.",
  };
}

export function run(data) {
  entry.writeBigInt64LE(BigInt(data.n), 0);
  entry.writeBigInt64LE(process.hrtime.bigint(), 8);
  writeSync(effects, entry);
  return { n: data.n, ok: true };
}
