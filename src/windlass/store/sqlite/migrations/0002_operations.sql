-- What operations need: the ledger of a job, dead letters by error, the journal, how far retention has walked. breaking: no
-- `cost`: millionths of a dollar. `fingerprint`: the error's, of failed jobs only; null is that of a job without one.
alter table {job} add column cost integer not null default 0;
alter table {job} add column revivals integer not null default 0;
alter table {job} add column next_retry_at integer;
alter table {job} add column fingerprint text;
update {job} set fingerprint = nullif(error ->> '$.fingerprint', '')
where state in ({state:failed}, {state:cancelled}) and state = {state:failed} and json_valid(error);
-- A group in the order of ids; with the time of failure it is enough to count the groups.
create index "{ns}_job_dead" on {job} (fingerprint, id, finished_at) where state = {state:failed};
create index "{ns}_job_revivable" on {job} (next_retry_at) where next_retry_at is not null;

-- The journal. `awake` (of seq): until when somebody listens to it. A version that erases the namespace may not know the tables.
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
