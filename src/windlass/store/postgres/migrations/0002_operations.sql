-- Operations: what jobs cost, the dead letters with their error groups and next retries, the journal. It breaks nothing: the functions
-- keep all of it up for programs of the previous version too, whose looks for a user's jobs only take longer.

ALTER TABLE {schema}.job ADD COLUMN cost bigint, ADD COLUMN revivals integer;

-- Which jobs a user, project or group has, and which had a unique key: a letter that says which it is, and the value. A table like
-- `member` in place of four indexes, which each of the three updates of a job's life opened, and wrote again for jobs that have such.
CREATE TABLE {schema}.label (
    key text COLLATE "C" NOT NULL,
    job text COLLATE "C" NOT NULL,
    PRIMARY KEY (key, job)
);
INSERT INTO {schema}.label (key, job) SELECT v.key, j.id FROM {schema}.job j CROSS JOIN LATERAL {labels} WHERE v.key IS NOT NULL;
DROP INDEX {schema}.job_user, {schema}.job_project, {schema}.job_group, {schema}.job_unique;

-- The failed jobs. A table and not indexes of `job`: every index of that one is opened by each statement of a job's life.
-- `at`: when it failed. `retry_at`: its automatic retry.
CREATE TABLE {schema}.dead (
    job text COLLATE "C" PRIMARY KEY,
    fingerprint text COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    retry_at bigint
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX dead_group ON {schema}.dead (fingerprint, job) INCLUDE (at);
CREATE INDEX dead_retry ON {schema}.dead (retry_at) WHERE retry_at IS NOT NULL;
CREATE INDEX dead_archive ON {schema}.dead (at) WHERE retry_at IS NOT NULL;
INSERT INTO {schema}.dead (job, fingerprint, at)
SELECT id, coalesce(substring(error FROM '"fingerprint":"([^"\\]*)"'), ''), finished_at FROM {schema}.job WHERE state = {state:failed};

-- What happened, for live views. Entries are told apart by the transactions that wrote them: what a reader has seen is a snapshot.
CREATE TABLE {schema}.journal (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at bigint NOT NULL,
    event text COLLATE "C" NOT NULL,
    ids text[] COLLATE "C" NOT NULL,
    count bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX journal_xid ON {schema}.journal (xid);
-- Until when somebody listens. A sequence, because writers look at it in each call: no snapshot, no scan, no lock that lasts.
CREATE SEQUENCE {schema}.awake AS bigint;

-- Walks of retention remember the job they came to, of many that ended at one instant.
ALTER TABLE {schema}.mark ADD COLUMN past text COLLATE "C" NOT NULL DEFAULT '';

-- Operators' acts by who did them.
CREATE INDEX audit_actor ON {schema}.audit (actor, n);
