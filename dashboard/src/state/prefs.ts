/** What a person has chosen in this browser. Kept in local storage where there is one. */
import { effect, type Signal, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

function kept<T>(name: string, fallback: T): Signal<T> {
  const key = `windlass:${name}`;
  let value = fallback;
  try {
    const text = localStorage.getItem(key);
    if (text !== null) value = JSON.parse(text) as T;
  } catch {
    // storage is closed, or holds something else: the fallback is fine
  }
  const found = signal(value);
  effect(() => {
    const text = JSON.stringify(found.value);
    try {
      localStorage.setItem(key, text);
    } catch {
      // private windows of some browsers: it holds until the tab closes
    }
  });
  return found;
}

export const theme = kept<Theme>("theme", "system");
/** `local`, `UTC` or an IANA name: the zone that times are shown in. */
export const zone = kept<string>("zone", "local");
/** Look, do not touch: a lock that one sets on oneself. */
export const locked = kept<boolean>("locked", false);
/** Columns that were switched on or off, by table. */
export const columns = kept<Record<string, Record<string, boolean>>>("columns", {});
/** Searches that were kept by name. */
export const searches = kept<{ name: string; q: string }[]>("searches", []);

effect(() => {
  const root = document.documentElement;
  if (theme.value === "system") root.removeAttribute("data-theme");
  else root.setAttribute("data-theme", theme.value);
});

export function nextTheme(): void {
  theme.value = theme.value === "system" ? "light" : theme.value === "light" ? "dark" : "system";
}
