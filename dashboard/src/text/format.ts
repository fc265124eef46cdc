/** Numbers as people read them, always with their unit. */

const COUNT = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** 12,345 */
export function count(value: number): string {
  return COUNT.format(value);
}

/** 12.3K: for places that have no room. */
export function compact(value: number): string {
  return value < 10_000 ? COUNT.format(value) : SHORT.format(value);
}

const STEPS: readonly [number, string][] = [
  [86_400, "d"],
  [3_600, "h"],
  [60, "m"],
  [1, "s"],
];

/** Seconds as 850 ms, 4.2 s, 3 m 20 s, 2 d 4 h: two units at most, never negative. */
export function duration(seconds: number): string {
  const value = Math.max(0, seconds);
  if (value === 0) return "0 s";
  if (value < 0.001) return "<1 ms";
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 10) return `${trim(value.toFixed(1))} s`;
  let rest = Math.round(value);
  if (rest < 60) return `${rest} s`;
  const parts: string[] = [];
  for (const [size, unit] of STEPS) {
    const amount = Math.floor(rest / size);
    if (amount || parts.length) parts.push(amount ? `${amount} ${unit}` : "");
    rest -= amount * size;
    if (parts.length === 2) break;
  }
  return parts.filter(Boolean).join(" ");
}

function trim(text: string): string {
  return text.replace(/\.0$/, "");
}

/** One unit, for relative times: 4 s, 3 m, 2 h, 5 d. */
export function rough(seconds: number): string {
  const value = Math.max(0, seconds);
  const [size, unit] = STEPS.find(([step]) => value >= step) ?? [1, "s"];
  return `${Math.floor(value / size)} ${unit}`;
}

const SIZES = ["B", "kB", "MB", "GB", "TB"];

export function bytes(value: number): string {
  let rest = Math.max(0, value);
  let unit = 0;
  while (rest >= 1000 && unit < SIZES.length - 1) {
    rest /= 1000;
    unit += 1;
  }
  return `${unit === 0 || rest >= 100 ? Math.round(rest) : trim(rest.toFixed(1))} ${SIZES[unit]}`;
}

/** A share of 0 to 1 as percent. */
export function percent(share: number): string {
  const value = share * 100;
  if (value > 0 && value < 0.1) return "<0.1 %";
  if (value < 100 && value > 99.9) return ">99.9 %";
  return `${trim(value.toFixed(1))} %`;
}

export function cost(value: number, currency = ""): string {
  const digits = value !== 0 && Math.abs(value) < 0.01 ? 6 : 2;
  const text = new Intl.NumberFormat("en", {
    minimumFractionDigits: 2,
    maximumFractionDigits: digits,
  }).format(value);
  return currency ? `${text} ${currency}` : text;
}

/** A rate per minute, per hour when it is slow. */
export function rate(perMinute: number): string {
  if (perMinute === 0) return "0 /min";
  if (perMinute < 0.95) return `${trim((perMinute * 60).toFixed(1))} /h`;
  return `${perMinute < 100 ? trim(perMinute.toFixed(1)) : compact(Math.round(perMinute))} /min`;
}

/** Counted to here and no further: 1,000+. */
export function total(found: { value: number; relation: "eq" | "gte" }): string {
  return count(found.value) + (found.relation === "gte" ? "+" : "");
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** The random end of an id, which is what tells ids of one minute apart. */
export function shortId(id: string): string {
  return id.length > 12 ? `…${id.slice(-8)}` : id;
}
