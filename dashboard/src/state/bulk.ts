/** Bulk acts that run: watched until they are over, undone while they have not begun. */
import { signal } from "@preact/signals";
import { get, post } from "../api/client";
import type { BulkAction, BulkView } from "../api/types";

export interface BulkAsk {
  action: BulkAction;
  ids?: string[];
  q?: string;
  reason?: string;
  priority?: number;
  keep_attempts?: boolean;
}

/** Seconds within which a bulk act can be undone, because it has not begun. */
export const UNDO = 8;

export const running = signal<readonly BulkView[]>([]);

function put(view: BulkView): void {
  const others = running.value.filter((each) => each.id !== view.id);
  running.value = [...others, view].sort((a, b) => (a.id < b.id ? -1 : 1));
}

export function isOver(view: BulkView): boolean {
  return view.status === "completed" || view.status === "cancelled" || view.status === "failed";
}

export async function startBulk(asked: BulkAsk): Promise<void> {
  const view = await post<BulkView>("/bulk", { ...asked, undo_window: `${UNDO}s` });
  put(view);
  watch(view.id);
}

export async function stopBulk(id: string): Promise<void> {
  put(await post<BulkView>(`/bulk/${id}/cancel`));
}

export function dismiss(id: string): void {
  running.value = running.value.filter((each) => each.id !== id);
}

function watch(id: string): void {
  const look = async (): Promise<void> => {
    const known = running.value.find((each) => each.id === id);
    if (!known) return;
    try {
      const view = await get<BulkView>(`/bulk/${id}`);
      put(view);
      if (isOver(view)) {
        setTimeout(() => dismiss(id), view.status === "completed" && !view.refused ? 6000 : 20_000);
        return;
      }
    } catch {
      // the server does not answer just now: look again
    }
    setTimeout(look, 500);
  };
  setTimeout(look, 500);
}
