-- What remains of jobs that retention deleted. breaking: no
-- In the order in which they went: the numbers `k` have no gaps, so the first and the last tell how many there are.
drop table if exists {past};
create table {past} (
  k integer primary key, gone_at integer not null, id text not null, kind text not null, queue text not null, state text not null,
  runtime text not null, priority integer not null, error text, reason text, attempt integer not null,
  max_attempts integer not null, rescues integer not null, trail text, created_at integer not null, run_at integer,
  started_at integer, finished_at integer, expires_at integer, progress real, worker text, lease integer, tags text, user text,
  project text, grp text, workflow text, name text, ukey text, cancelling text, cost integer not null, revivals integer not null
);
-- An id may come more than once.
create index "{ns}_past_id" on {past} (id, k);
