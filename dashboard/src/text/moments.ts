/** Instants as text: relative to now, or absolute in a zone. */
import { duration, rough } from "./format";

/** `3 m ago`, `in 20 s`, `now`. */
export function relative(at: number, now: number): string {
  const seconds = (now - at) / 1000;
  if (Math.abs(seconds) < 1) return "now";
  if (seconds > 0) return `${rough(seconds)} ago`;
  return `in ${-seconds < 3600 ? rough(-seconds) : duration(-seconds)}`; // "in 1 h" could be nearly two
}

const known = new Map<string, Intl.DateTimeFormat>();

function formatter(zone: string): Intl.DateTimeFormat {
  const found = known.get(zone);
  if (found) return found;
  const made = new Intl.DateTimeFormat("en-CA", {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
    hourCycle: "h23", timeZoneName: "short", ...(zone === "local" ? {} : { timeZone: zone }),
  }); // biome-ignore format: one line each
  known.set(zone, made);
  return made;
}

/** `2030-01-31 06:00:05 CET`; with `millis`, also the fraction of the second. */
export function absolute(at: number, zone: string, millis = false): string {
  const parts = Object.fromEntries(
    formatter(zone)
      .formatToParts(at)
      .map((part) => [part.type, part.value]),
  );
  const fraction = millis ? `.${String(new Date(at).getUTCMilliseconds()).padStart(3, "0")}` : "";
  return (
    `${parts.year}-${parts.month}-${parts.day} ` +
    `${parts.hour}:${parts.minute}:${parts.second}${fraction} ${parts.timeZoneName}`
  );
}

/** `06:00:05`, or `31 Jan 06:00` for another day than today's. */
export function clock(at: number, zone: string): string {
  return absolute(at, zone).slice(11, 19);
}

/** A label under an axis: the time, or the day where it has changed since the label before. */
export function tickText(at: number, zone: string, before: number | null): string {
  const text = absolute(at, zone);
  const midnight = text.slice(11, 16) === "00:00";
  if (midnight && (before === null || absolute(before, zone).slice(0, 10) !== text.slice(0, 10)))
    return text.slice(5, 10);
  return text.slice(11, 16);
}

export function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** An instant as milliseconds, with the microseconds that `Date` leaves out. */
export function precise(text: string): number {
  const rest = /\.\d{3}(\d{1,3})/.exec(text)?.[1] ?? "";
  return Date.parse(text) + Number(rest.padEnd(3, "0")) / 1000;
}

/** Seconds between two instants as the API writes them; null while one is missing. */
export function between(from: string | null, to: string | null): number | null {
  return from && to ? Math.max(0, (precise(to) - precise(from)) / 1000) : null;
}
