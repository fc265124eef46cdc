/** The parts of the API's answers that pages use. tests/dashboard/test_types.py holds them against the OpenAPI document. */

export const STATES = [
  "blocked", "delayed", "waiting", "active", "retrying", "completed", "failed", "cancelled",
] as const; // biome-ignore format: one line
export type State = (typeof STATES)[number];

export interface Total {
  value: number;
  relation: "eq" | "gte";
}

export interface Listing<T> {
  items: T[];
  next_cursor: string | null;
  total: Total;
}

export interface ErrorView {
  type: string;
  message: string;
  category: string;
  fingerprint: string;
  traceback?: string;
}

export interface AttemptView {
  number: number;
  outcome: string;
  started_at: string | null;
  finished_at: string | null;
  worker: string | null;
  error: ErrorView | null;
  reason: string | null;
}

export interface JobView {
  id: string;
  kind: string;
  queue: string;
  state: State;
  priority: number;
  runtime: string;
  attempt: number;
  max_attempts: number;
  rescues: number;
  created_at: string;
  run_at: string | null;
  started_at: string | null;
  finished_at: string | null;
  expires_at: string | null;
  progress: number;
  progress_note: string | null;
  cancelling: boolean;
  reason: string | null;
  error: ErrorView | null;
  worker: string | null;
  user: string | null;
  project: string | null;
  group: string | null;
  workflow: string | null;
  name: string | null;
  unique: string | null;
  tags: string[];
  parents: string[];
  cost: string | null;
  revivals: number;
  next_retry_at: string | null;
  args?: unknown;
  result?: unknown;
  attempts?: AttemptView[];
  options?: Record<string, unknown>;
  /** With `include=preview`: the arguments as JSON text, cut off where it gets long. */
  preview?: string;
}

export interface Acted {
  id: string;
  outcome: "done" | "asked";
}

export interface Created {
  id: string;
  kind: string;
  deduplicated: boolean;
  href: string;
}

export interface LogView {
  at: string;
  attempt: number;
  level: string;
  text: string;
}

export interface ActView {
  at: string;
  actor: string;
  action: string;
  target: string;
  detail: unknown;
}

/** An entry of a job's timeline. */
export interface Happened {
  at: string;
  what: string;
  cause?: string | null;
  attempt?: number | null;
  worker?: string | null;
  actor?: string | null;
  error?: { type: string; message: string } | null;
  detail?: Record<string, unknown>;
}

export interface History {
  id: string;
  gone_at: string | null;
  attempts: AttemptView[];
  acts: ActView[];
  timeline: Happened[];
}

export interface Reason {
  code: string;
  text: string;
  facts?: Record<string, unknown>;
  until?: string | null;
  mend?: string | null;
  blocks?: boolean;
}

export interface Explanation {
  id: string;
  kind: string;
  queue: string;
  state: State;
  now: string;
  reasons: Reason[];
  position: number | null;
  estimate: number | null;
}

export interface StepRecord {
  position: number;
  what: "step" | "sleep" | "signal";
  name: string;
  done: boolean;
  at: string;
  attempt: number;
  result?: unknown;
  until?: string | null;
  timed_out?: boolean;
}

export interface FlowNode {
  id: string;
  kind: string;
  name: string | null;
  queue: string;
  state: State;
  reason: string | null;
  attempt: number;
  role: string;
  batch: string | null;
}

export interface FlowGraph {
  id: string;
  name: string | null;
  state: "running" | "completed" | "failed" | "cancelled";
  counts: Partial<Record<State, number>>;
  nodes: FlowNode[];
  edges: { parent: string; child: string }[];
}

export interface QueueView {
  name: string;
  paused: boolean;
  paused_at: string | null;
  order: "strict" | "fair" | "weighted" | "ageing";
  ageing: number;
  counts: Partial<Record<State, number>>;
}

export interface WorkerView {
  id: string;
  host: string;
  pid: number;
  version: string;
  state: string;
  started_at: string;
  seen_at: string;
  claimed_at: string | null;
  queues: string[] | null;
  kinds: string[];
  slots: Record<string, number>;
  running: number;
  done: number;
  rss: number;
  cpu: number;
}

export interface Times {
  count: number;
  average: number;
  median: number;
  p95: number;
  p99: number;
}

export interface Figures {
  queue: string | null;
  kind: string | null;
  completed: number;
  failed: number;
  cancelled: number;
  retries: number;
  rescues: number;
  success_rate: number | null;
  per_minute: number;
  per_hour: number;
  run: Times | null;
  wait: Times | null;
}

export interface WorkerFigures extends Figures {
  worker: string;
  cost: string;
  cpu: number;
}

export interface SeriesPoint {
  at: string;
  completed: number;
  failed: number;
  cancelled: number;
  retries: number;
  rescues: number;
  run_average: number | null;
  wait_average: number | null;
}

export interface Metrics {
  since: string;
  until: string;
  oldest: string | null;
  total: Figures;
  queues: Figures[];
  kinds: Figures[];
  step: string;
  series: SeriesPoint[];
}

export interface Issue {
  code: string;
  level: "note" | "degraded" | "unhealthy" | "error";
  text: string;
  queue: string | null;
  facts: Record<string, unknown>;
}

export interface Recommendation {
  code: string;
  text: string;
  command: string;
}

export interface QueueHealth {
  queue: string;
  status: HealthStatus;
  issues: Issue[];
  recommendations: Recommendation[];
  paused: boolean;
  waiting: number;
  active: number;
  delayed: number;
  retrying: number;
  blocked: number;
  failed: number;
  oldest_wait: number | null;
  oldest_exact: boolean;
  usual_wait: number | null;
  served_per_minute: number;
  arrived_per_minute: number;
  drain: number | null;
  ended: number;
  failed_share: number | null;
  workers: number;
  slots: number;
}

export type HealthStatus = "healthy" | "degraded" | "unhealthy" | "error";

export interface WorkerHealth {
  id: string;
  state: "working" | "idle" | "stuck" | "quiet" | "lost";
}

export interface Health {
  status: HealthStatus;
  at: string;
  issues: Issue[];
  recommendations: Recommendation[];
  queues: QueueHealth[];
  workers: WorkerHealth[];
}

export interface Param {
  name: string;
  type: string;
  required: boolean;
}

export interface KindView {
  name: string;
  queue: string;
  runtime: string;
  priority: number;
  max_attempts: number;
  version: number;
  tags: string[];
  schema: Record<string, unknown> | null;
}

export type BulkAction = "cancel" | "retry" | "run-now" | "fail" | "delete" | "reprioritise";

export interface BulkView {
  id: string;
  action: BulkAction;
  q: string | null;
  status: "pending" | "running" | "completed" | "cancelled" | "failed";
  cancelling: boolean;
  matched: number;
  done: number;
  flagged: number;
  refused: number;
  code: string | null;
  created_by: string;
  created_at: string;
  starts_at: string;
  finished_at: string | null;
}

export interface BulkPreview {
  action: BulkAction;
  total: Total;
  samples: JobView[];
}

export interface Me {
  user: string;
  role: "viewer" | "user" | "operator" | "admin";
  project: string | null;
  key: string | null;
  permissions: string[];
}

export interface SessionView {
  signed_in: boolean;
  by: "session" | "open" | null;
  csrf: string | null;
  read_only: boolean;
  me: Me | null;
}
