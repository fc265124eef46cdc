/**
 * Every page: its address, its place in the navigation, what it takes to see it. A page whose file is not there is not shown, so
 * adding one is adding its file: `src/pages/<file>.tsx`, which exports the component as its default.
 */
import type { ComponentType } from "preact";
import { lazy } from "preact-iso";
import { Unloaded } from "../shell/unloaded";
import type { IconName } from "../ui/icons";

export interface PageSpec {
  path: string;
  file: string;
  title: string;
  /** In the navigation, under this heading; without it, the page is reached from others. */
  group?: "Watch" | "Run" | "Measure" | "Keep";
  icon?: IconName;
  permission?: string;
  /** `g` and this letter go there. */
  key?: string;
}

const SPECS: readonly PageSpec[] = [
  { path: "/", file: "overview", title: "Overview", group: "Watch", icon: "overview", key: "o" },
  { path: "/jobs", file: "jobs", title: "Jobs", group: "Watch", icon: "jobs", permission: "jobs:read", key: "j" },
  { path: "/jobs/:id", file: "job", title: "Job", permission: "jobs:read" },
  { path: "/errors", file: "errors", title: "Errors", group: "Watch", icon: "errors", permission: "jobs:read", key: "e" },
  { path: "/queues", file: "queues", title: "Queues", group: "Run", icon: "queues", permission: "queues:read", key: "q" },
  { path: "/queues/:name", file: "queue", title: "Queue", permission: "queues:read" },
  { path: "/workers", file: "workers", title: "Workers", group: "Run", icon: "workers", permission: "workers:read", key: "k" },
  { path: "/workers/:id", file: "worker", title: "Worker", permission: "workers:read" },
  { path: "/schedules", file: "schedules", title: "Schedules", group: "Run", icon: "schedules", permission: "schedules:read", key: "s" },
  { path: "/schedules/:key", file: "schedule", title: "Schedule", permission: "schedules:read" },
  { path: "/workflows", file: "workflows", title: "Workflows", group: "Run", icon: "workflows", permission: "jobs:read", key: "w" },
  { path: "/workflows/:id", file: "workflow", title: "Workflow", permission: "jobs:read" },
  { path: "/batches", file: "batches", title: "Batches", group: "Run", icon: "batches", permission: "jobs:read", key: "b" },
  { path: "/metrics", file: "metrics", title: "Metrics", group: "Measure", icon: "metrics", permission: "metrics:read", key: "m" },
  { path: "/limits", file: "limits", title: "Limits", group: "Measure", icon: "limits", permission: "limits:read", key: "l" },
  { path: "/alerts", file: "alerts", title: "Alerts", group: "Measure", icon: "alerts", permission: "alerts:read", key: "a" },
  { path: "/webhooks", file: "webhooks", title: "Webhooks", group: "Measure", icon: "webhooks", permission: "webhooks:read" },
  { path: "/audit", file: "audit", title: "Audit", group: "Keep", icon: "audit", permission: "audit:read", key: "u" },
  { path: "/settings", file: "settings", title: "Settings", group: "Keep", icon: "settings", key: "," },
]; // biome-ignore format: one page a line

const files = import.meta.glob<{ default: ComponentType }>("./*.tsx");

export interface Page extends PageSpec {
  component: ComponentType;
  /** Reads its code before somebody goes there. */
  preload: () => Promise<unknown>;
}

export const PAGES: readonly Page[] = SPECS.flatMap((spec) => {
  const load = files[`./${spec.file}.tsx`];
  if (!load) return [];
  const component = lazy(() => patiently(load)) as unknown as ComponentType & { preload: () => Promise<unknown> };
  return [{ ...spec, component, preload: component.preload }];
});

const TRIES = 4;

/** The code of a page; where it cannot be had, what says so: the server may be away, or have another version by now. */
async function patiently(load: () => Promise<{ default: ComponentType }>): Promise<{ default: ComponentType }> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await load();
    } catch {
      if (tries === TRIES) return { default: Unloaded };
      await new Promise((resolve) => setTimeout(resolve, 500 * tries));
    }
  }
}
