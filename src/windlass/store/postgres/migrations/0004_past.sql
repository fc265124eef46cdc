-- What remains of jobs that retention deleted. It breaks nothing: programs of the version before leave nothing of what they prune.

-- In the order in which they went. An id may come more than once.
CREATE TABLE {schema}.past (
    n bigint PRIMARY KEY,
    gone_at bigint NOT NULL,
    created_at bigint NOT NULL,
    run_at bigint NOT NULL,
    started_at bigint,
    finished_at bigint,
    expires_at bigint,
    lease bigint,
    cost bigint,
    priority integer NOT NULL,
    attempt integer NOT NULL,
    max_attempts integer NOT NULL,
    rescues integer,
    revivals integer,
    progress real,
    id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    queue text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    runtime text COLLATE "C" NOT NULL,
    worker text COLLATE "C",
    tags text,
    user_ text COLLATE "C",
    project text COLLATE "C",
    group_ text COLLATE "C",
    workflow text COLLATE "C",
    name text,
    unique_ text COLLATE "C",
    reason text,
    error text,
    trail text
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX past_id ON {schema}.past (id, n);
