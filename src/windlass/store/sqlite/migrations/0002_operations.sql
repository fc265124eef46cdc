-- What operations need: the ledger of a job, dead letters by error, the journal, how far retention has walked. breaking: no
-- What few jobs have, beside the job, so that claims and completions have no more to write. `cost`: millionths of a dollar.
-- `failed_at`: of dead letters, as are the two behind it; `fingerprint` null is that of a dead letter without an error.
drop table if exists {ledger};
create table {ledger} (
  job integer primary key, cost integer not null default 0, revivals integer not null default 0, next_retry_at integer,
  failed_at integer, fingerprint text, id text
);
-- A group in the order of ids; with the time of failure it is enough to count the groups.
create index "{ns}_ledger_dead" on {ledger} (fingerprint, id, failed_at) where failed_at is not null;
create index "{ns}_ledger_revivable" on {ledger} (next_retry_at) where next_retry_at is not null;
insert into {ledger} (job, failed_at, fingerprint, id)
select n, finished_at, {error_fingerprint}, id from {job} where state in ({state:failed}, {state:cancelled}) and state = {state:failed};

-- The journal. `awake` (of seq): until when somebody listens to it.
alter table {counter} add column awake integer not null default 0;
drop table if exists {news};
create table {news} (
  k integer primary key autoincrement, at integer not null, event text not null, ids text not null, n integer not null
);

-- How far a walk over final jobs, by the time of their end, has come.
drop table if exists {walk};
create table {walk} (name text primary key, at integer not null, job integer not null) without rowid;

create index "{ns}_audit_actor" on {audit} (actor, k);
create index "{ns}_audit_action" on {audit} (action, k);
