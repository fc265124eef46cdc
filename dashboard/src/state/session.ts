/** Who looks at this, and what they may do. */
import { computed, signal } from "@preact/signals";
import { ask, setCsrf, whenSignedOut } from "../api/client";
import type { SessionView } from "../api/types";
import { locked } from "./prefs";

/** null until the server has told. */
export const session = signal<SessionView | null>(null);
/** Why the session could not be read at all. */
export const failure = signal<Error | null>(null);

const granted = computed(() => new Set(session.value?.me?.permissions ?? []));

function take(found: SessionView): void {
  setCsrf(found.csrf);
  failure.value = null;
  session.value = found;
}

whenSignedOut(() => {
  if (session.value?.signed_in) take({ signed_in: false, by: null, csrf: null, read_only: false, me: null });
});

export async function readSession(): Promise<void> {
  try {
    take((await ask<SessionView>("GET", "/session")).data);
  } catch (error) {
    failure.value = error as Error;
  }
}

export async function signIn(credential: string): Promise<void> {
  take((await ask<SessionView>("POST", "/session", { body: { credential } })).data);
}

export async function signOut(): Promise<void> {
  session.value = null; // the pages go first, so that none of them asks while nobody is signed in
  try {
    await ask("DELETE", "/session");
  } finally {
    await readSession();
  }
}

/** Whether the caller may do it here and now. Changing things takes an unlocked browser too. */
export function can(permission: string): boolean {
  if (!granted.value.has(permission)) return false;
  return permission.endsWith(":read") || !locked.value;
}
