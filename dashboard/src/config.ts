/** What the server wrote into the page: where it is mounted and where the API is. */
export interface Config {
  base: string;
  api: string;
  version: string;
  /** `events`: the API has a stream of events; `none`: what is on screen is read again now and then. */
  live: "events" | "none";
}

function read(): Config {
  const text = document.getElementById("windlass")?.textContent;
  const development: Config = { base: "", api: "/api/v1", version: "dev", live: "events" };
  return text ? { ...development, ...(JSON.parse(text) as Partial<Config>) } : development;
}

export const config = read();

/** The address of a page of ours, e.g. `href("/queues", name)`; further parts are escaped. */
export function href(path: string, ...parts: string[]): string {
  return config.base + path + parts.map((part) => `/${encodeURIComponent(part)}`).join("");
}

/** The same with query parameters; empty ones are left out. */
export function hrefWith(path: string, query: Record<string, string | undefined>): string {
  const given = Object.entries(query).filter((pair): pair is [string, string] => !!pair[1]);
  return config.base + path + (given.length ? `?${new URLSearchParams(given)}` : "");
}
