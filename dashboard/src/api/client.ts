/** Requests to the REST API: JSON in, JSON out, errors as `Problem`. */
import { signal } from "@preact/signals";
import { config } from "../config";

export interface Flaw {
  message: string;
  pointer?: string;
  parameter?: string;
}

/** A problem document, or that the server could not be reached (status 0). */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: string,
    readonly mend = "",
    readonly errors: Flaw[] = [],
  ) {
    super(detail || code);
  }

  /** One sentence for people: the flaws where there are some. */
  get sentence(): string {
    const flaws = this.errors.map((flaw) => [flaw.parameter ?? flaw.pointer, flaw.message].filter(Boolean).join(": "));
    return flaws.length ? flaws.join("; ") : this.detail || this.code;
  }
}

/** How far the server's clock is ahead of this machine's, in milliseconds. */
export const skew = signal(0);
/** Whether the last request reached the server. */
export const reachable = signal(true);

let csrf: string | null = null;
let onSignedOut: () => void = () => {};

/** What changing requests of this session carry. */
export function setCsrf(token: string | null): void {
  csrf = token;
}

/** What to do when the API no longer knows us. */
export function whenSignedOut(act: () => void): void {
  onSignedOut = act;
}

export type Query = Record<string, string | number | boolean | null | undefined>;

export interface Options {
  query?: Query;
  /** Sent as JSON; with `raw`, the text as it is. */
  body?: unknown;
  raw?: string;
  signal?: AbortSignal;
  headers?: Record<string, string>;
}

/** The answer, and its text: numbers that JavaScript cannot hold are still right there. */
export interface Answer<T> {
  data: T;
  text: string;
  etag: string | null;
}

export async function ask<T>(method: string, path: string, options: Options = {}): Promise<Answer<T>> {
  const response = await send(method, path, options);
  const text = await response.text();
  if (!response.ok) throw problemOf(response.status, text);
  return { data: (text ? JSON.parse(text) : null) as T, text, etag: response.headers.get("etag") };
}

async function send(method: string, path: string, options: Options): Promise<Response> {
  const headers: Record<string, string> = { Accept: "application/json", ...options.headers };
  const body = options.raw ?? (options.body === undefined ? undefined : JSON.stringify(options.body));
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (csrf && method !== "GET") headers["X-Windlass-CSRF"] = csrf;
  try {
    const response = await fetch(config.api + path + queryText(options.query), {
      method,
      headers,
      body,
      signal: options.signal,
      credentials: "same-origin",
    });
    reachable.value = true;
    readClock(response);
    if (response.status === 401 && path !== "/session") onSignedOut();
    return response;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    reachable.value = false;
    throw new Problem(0, "unreachable", "the server does not answer", "it is tried again by itself");
  }
}

function problemOf(status: number, text: string): Problem {
  try {
    const found = JSON.parse(text) as Partial<Problem>;
    return new Problem(status, found.code ?? "http", found.detail ?? "", found.mend, found.errors);
  } catch {
    return new Problem(status, "http", `the server answered ${status}`);
  }
}

function readClock(response: Response): void {
  const ahead = Date.parse(response.headers.get("date") ?? "") - Date.now();
  if (!Number.isNaN(ahead)) skew.value = Math.abs(ahead) > 2000 ? ahead : 0;
}

function queryText(query: Query | undefined): string {
  const pairs = Object.entries(query ?? {}).filter(
    ([, value]) => value !== null && value !== undefined && value !== "",
  );
  return pairs.length ? `?${new URLSearchParams(pairs.map(([name, value]) => [name, String(value)]))}` : "";
}

export async function get<T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> {
  return (await ask<T>("GET", path, { query, signal })).data;
}

export async function post<T>(path: string, body?: unknown): Promise<T> {
  return (await ask<T>("POST", path, { body })).data;
}

export async function put<T>(path: string, body?: unknown): Promise<T> {
  return (await ask<T>("PUT", path, { body })).data;
}

export async function patch<T>(path: string, body: unknown): Promise<T> {
  return (await ask<T>("PATCH", path, { body })).data;
}

export async function remove<T>(path: string): Promise<T> {
  return (await ask<T>("DELETE", path)).data;
}

/** A name as a part of a path; slashes in it stay one part. */
export function part(name: string): string {
  return encodeURIComponent(name);
}
