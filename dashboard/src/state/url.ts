/** The address is the state: what a page shows is in its query parameters, so it can be sent to somebody. */
import { useLocation } from "preact-iso";

export interface Address {
  query: Record<string, string>;
  /** Change parameters; undefined takes one out. `replace`: no new entry in the history. */
  set: (changes: Record<string, string | undefined>, replace?: boolean) => void;
  go: (address: string) => void;
}

export function useAddress(): Address {
  const { query, url, route } = useLocation();
  return {
    query: query as Record<string, string>,
    go: (address) => route(address),
    set: (changes, replace = false) => {
      const path = url.split("?")[0] ?? url;
      const next = new URLSearchParams(url.split("?")[1]?.split("#")[0]);
      for (const [name, value] of Object.entries(changes)) {
        if (value === undefined || value === "") next.delete(name);
        else next.set(name, value);
      }
      const text = next.toString();
      route(text ? `${path}?${text}` : path, replace);
    },
  };
}
