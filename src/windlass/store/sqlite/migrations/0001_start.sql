-- The first schema: jobs, what hangs on them, and what stands beside them. breaking: yes
-- Small columns that every claim and finish touches come first, long texts last: SQLite decodes a row from the left.
create table {job} (
  n integer primary key,
  id text not null,
  state text not null,
  queue text not null,
  kind text not null,
  runtime text not null,
  ord integer not null,
  priority integer not null,
  attempt integer not null default 0,
  max_attempts integer not null,
  rescues integer not null default 0,
  waits integer not null default 0,
  lease integer,
  lease_until integer,
  settled integer,
  created_at integer not null,
  run_at integer not null,
  started_at integer,
  finished_at integer,
  expires_at integer,
  worker text,
  parked text,
  cancelling text,
  line integer,
  signal text,
  weight integer,
  bounds text,
  ukey text,
  umode text,
  user text,
  project text,
  grp text,
  workflow text,
  name text,
  tags text,
  parents text,
  progress real,
  note text,
  reason text,
  options text not null default '',
  args text not null,
  result text,
  error text,
  trail text
);
create unique index "{ns}_job_id" on {job} (id);
-- The plain lines. expires_at makes the index enough to choose what to claim; the rows of jobs past it are asked for `attempt`.
create index "{ns}_job_ready" on {job} (queue, runtime, ord, expires_at)
where state = {state:waiting} and parked is null and line is null;
create index "{ns}_job_due" on {job} (queue, run_at) where state in ({from:promote});
create index "{ns}_job_leased" on {job} (lease_until) where state = {state:active};
create index "{ns}_job_final" on {job} (queue, state, finished_at) where state in ({any:final});
-- From here on: indexes that the plain path (enqueue, claim, complete) never writes to.
create index "{ns}_job_ended" on {job} (state, id) where state in ({state:failed}, {state:cancelled});
-- Suspended jobs first, by the time at which they wake.
create index "{ns}_job_blocked" on {job} (signal is null, queue, run_at) where state = {state:blocked};
create index "{ns}_job_parked" on {job} (parked, ord) where parked is not null;
create index "{ns}_job_flagged" on {job} (worker) where cancelling is not null;
create index "{ns}_job_lined" on {job} (line, ord, expires_at, attempt)
where state = {state:waiting} and parked is null and line is not null;
create index "{ns}_job_expiry" on {job} (expires_at) where expires_at is not null and attempt = 0 and state in ({any:pending});
create index "{ns}_job_user" on {job} (user, id) where user is not null;
create index "{ns}_job_project" on {job} (project, id) where project is not null;
create index "{ns}_job_group" on {job} (grp, id) where grp is not null;
create index "{ns}_job_workflow" on {job} (workflow, id) where workflow is not null;
create index "{ns}_job_ukey" on {job} (ukey, id) where ukey is not null;

-- The name a job carries, for filters; the job's own `tags` column is what readers see.
create table {tag} (tag text not null, job integer not null, primary key (tag, job)) without rowid;
create index "{ns}_tag_job" on {tag} (job);

-- One row for each parent that a child still waits for.
create table {edge} (
  parent integer not null, child integer not null, on_failure text not null, primary key (parent, child)
) without rowid;
create index "{ns}_edge_child" on {edge} (child);

-- Edges of jobs that came from another engine before their parents did.
create table {adrift} (
  parent text not null, child integer not null, on_failure text not null, primary key (parent, child)
) without rowid;
create index "{ns}_adrift_child" on {adrift} (child);

-- Ended parents whose edges were too many to settle in the call that ended them.
create table {settle} (parent integer primary key, id text not null, state text not null);

-- Unique keys. `holder` is a job's id, not its number: a `period` key outlives its job.
-- `follower` (with its own mode and time) takes the key over when the holder leaves it.
create table {uniq} (
  key text primary key, holder text not null, mode text not null, until integer, follower text, follower_mode text,
  follower_until integer
) without rowid;
create index "{ns}_uniq_holder" on {uniq} (holder);
create index "{ns}_uniq_started" on {uniq} (key) where mode = 'started';
create index "{ns}_uniq_follower" on {uniq} (follower) where follower is not null;
create index "{ns}_uniq_until" on {uniq} (until) where until is not null;

create table {log} (
  k integer primary key, job integer not null, at integer not null, attempt integer not null, level text not null,
  text text not null
);
create index "{ns}_log_job" on {log} (job, k);

-- What a durable handler has done, and the signals that wait for it to ask.
create table {step} (
  job integer not null, position integer not null, name text not null, value text, done integer not null, at integer not null,
  attempt integer not null, primary key (job, position)
) without rowid;
create table {mail} (k integer primary key, job integer not null, name text not null, data text not null);
create index "{ns}_mail_box" on {mail} (job, name, k);

-- `served`: in a fair or weighted queue the pass of the group last served.
create table {queue} (
  name text primary key, paused integer not null default 0, paused_at integer, sort text not null default 'strict',
  ageing integer, served integer not null default 0
) without rowid;
create index "{ns}_queue_paused" on {queue} (name) where paused = 1;
create index "{ns}_queue_sort" on {queue} (name) where sort <> 'strict';

-- Keys with their limits. `broad`: it holds for a whole queue or kind. `held`: the active jobs whose line has the key.
-- `awake`: the lines that wait for it are to be looked at; `timer`: when they will be.
create table {limit} (
  k integer primary key autoincrement, key text not null unique, broad integer not null, concurrency integer, rate_n integer,
  rate_window integer, rate_burst integer, shut_until integer, trial integer, pinned integer not null default 0,
  held integer not null default 0, awake integer not null default 0, timer integer, changed_at integer not null
);
create index "{ns}_limit_broad" on {limit} (key) where broad = 1;
create index "{ns}_limit_awake" on {limit} (k) where awake = 1;
create index "{ns}_limit_timer" on {limit} (timer) where timer is not null;

-- What of a rate is used. `meter` is a limit's number, or the text of a `Take`. A window: `used` is the sum of its spends.
-- A bucket: `used` is what is missing, times the window, at the time `at`. Empty at `until`.
create table {meter} (meter primary key, used integer not null, at integer not null, until integer not null) without rowid;
create index "{ns}_meter_until" on {meter} (until);
create table {spend} (meter not null, at integer not null, cost integer not null, primary key (meter, at)) without rowid;

-- Waiting jobs under the same constraints. `keys`: a JSON list of limits' numbers. (rank, head) is a lower bound of where it
-- stands among the lines of its queue and runtime; head is null when it has no job. `waits_for`: the limit it waits for.
create table {line} (
  k integer primary key autoincrement, queue text not null, runtime text not null, grp text not null, keys text not null,
  rank integer not null, head integer, waits_for integer, unique (queue, runtime, grp, keys)
);
create index "{ns}_line_open" on {line} (queue, runtime, rank, head, k) where waits_for is null and head is not null;
create index "{ns}_line_waiting" on {line} (waits_for, queue, rank, head) where waits_for is not null and head is not null;
create index "{ns}_line_empty" on {line} (k) where head is null;

-- Which lines a limit holds for: `line.keys` the other way round.
create table {tie} (lim integer not null, line integer not null, primary key (lim, line)) without rowid;
create index "{ns}_tie_line" on {tie} (line);

-- Groups of fair and weighted queues.
create table {turn} (
  queue text not null, grp text not null, pass integer not null, weight integer not null, primary key (queue, grp)
) without rowid;

-- How many jobs a queue has in a state: sums moved in the transaction that moves the jobs. For display only.
create table {count} (
  queue text not null, state text not null, n integer not null, primary key (queue, state)
) without rowid;

-- seq: place in line and job number. lease: fencing tokens. version: of records. mark, quiet_until: see rescue.
-- flag (of seq): a limit, or an order that is not strict, was ever set. Until then nobody has to ask about lines.
create table {counter} (name text primary key, n integer not null, flag integer not null default 0) without rowid;
insert into {counter} (name, n) values ('seq', 0), ('lease', 0), ('version', 0);

create table {worker} (
  id text primary key, session text, number integer, lease integer, info text, seen_at integer, claimed_at integer,
  gone_at integer
) without rowid;

create table {schedule} (
  key text primary key, spec text not null, owner text, due integer, paused integer not null default 0, last_due integer,
  last_job text, fired integer not null default 0
) without rowid;

create table {audit} (
  k integer primary key, at integer not null, actor text not null, action text not null, target text not null,
  detail text not null
);
create index "{ns}_audit_target" on {audit} (target, k);

create table {tally} (
  minute integer not null, queue text not null, kind text not null, name text not null, bucket integer not null,
  value integer not null, primary key (minute, queue, kind, name, bucket)
) without rowid;

create table {record} (
  space text not null, key text not null, text text not null, version integer not null, until integer,
  primary key (space, key)
) without rowid;
create index "{ns}_record_until" on {record} (until) where until is not null;

-- The edges of jobs that ended while they were blocked. `cause` marks the edge whose parent ended the job.
create table {cut} (
  parent integer not null, child integer not null, on_failure text not null, cause integer not null,
  primary key (parent, child)
) without rowid;
create index "{ns}_cut_child" on {cut} (child);

-- Requeued parents that have more to revive than the call that requeued them could do.
create table {revive} (parent integer primary key);
