/** Now, by the server's clock, once a second while somebody looks. */
import { signal } from "@preact/signals";
import { skew } from "../api/client";

export const now = signal(Date.now());

function tick(): void {
  if (!document.hidden) now.value = Date.now() + skew.value;
}

setInterval(tick, 1000);
document.addEventListener("visibilitychange", tick);
