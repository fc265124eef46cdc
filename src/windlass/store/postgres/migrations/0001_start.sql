-- The first schema. Job rows: what never changes comes first and what changes last, so that an update on the same page logs
-- only the tail of the row. A fill factor of 50 leaves room for those updates.

-- What a job says about a key it is under: `limit.Bound`.
CREATE TYPE {schema}.bound AS (key text COLLATE "C", concurrency bigint, n bigint, "window" bigint, burst bigint, cost bigint);

-- What most new jobs do not have.
CREATE TYPE {schema}.extra AS (bounds {schema}.bound[], weight integer, answer text, lane uuid, keys text[] COLLATE "C", costs bigint[]);

CREATE TABLE {schema}.job (
    id text COLLATE "C" PRIMARY KEY,
    created_at bigint NOT NULL,
    expires_at bigint,
    dependents boolean NOT NULL,
    kind text COLLATE "C" NOT NULL,
    runtime text COLLATE "C" NOT NULL,
    queue text COLLATE "C" NOT NULL,
    user_ text COLLATE "C",
    project text COLLATE "C",
    group_ text COLLATE "C",
    workflow text COLLATE "C",
    name text,
    unique_ text COLLATE "C",
    unique_until text COLLATE "C",
    parents text,
    options text NOT NULL,
    tags text,
    args text NOT NULL,
    bounds {schema}.bound[],
    weight integer,
    max_attempts integer NOT NULL,
    priority integer NOT NULL,
    waits integer NOT NULL,
    attempt integer NOT NULL,
    rescues integer NOT NULL,
    ord bigint NOT NULL,
    run_at bigint NOT NULL,
    lane uuid,
    keys text[] COLLATE "C",
    costs bigint[],
    lease bigint,
    settled bigint,
    lease_until bigint,
    started_at bigint,
    finished_at bigint,
    progress real,
    state text COLLATE "C" NOT NULL,
    worker text COLLATE "C",
    cancelling text,
    park text COLLATE "C",
    signal text COLLATE "C",
    reason text,
    note text,
    error text,
    result text,
    trail text
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_analyze_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay = 0
);

-- What may be claimed, in order: the plain line, and the lanes. Parked jobs are out of it.
CREATE INDEX job_ready ON {schema}.job (queue, runtime, ord) WHERE state = {state:waiting} AND park IS NULL AND lane IS NULL;
CREATE INDEX job_lane ON {schema}.job (lane, ord) WHERE lane IS NOT NULL AND state = {state:waiting} AND park IS NULL;
CREATE INDEX job_parked ON {schema}.job (park, ord) WHERE park IS NOT NULL;
-- What time brings back: delayed and retrying jobs, and suspended ones.
CREATE INDEX job_due ON {schema}.job (run_at) WHERE {due};
CREATE INDEX job_due_queue ON {schema}.job (queue, run_at) WHERE {due};
CREATE INDEX job_leased ON {schema}.job (lease_until) WHERE state = {state:active};
CREATE INDEX job_expiry ON {schema}.job (expires_at) WHERE expires_at IS NOT NULL AND attempt = 0 AND state IN ({from:expire});
-- Retention: one index for the many, one for the rest.
CREATE INDEX job_completed ON {schema}.job (finished_at) WHERE state = {state:completed};
CREATE INDEX job_ended ON {schema}.job (state, queue, finished_at) WHERE state IN ({state:failed}, {state:cancelled});
-- Readers that ask for a state which few jobs are in.
CREATE INDEX job_rare ON {schema}.job (state, id) WHERE state IN ({from:cancel}, {state:failed}, {state:cancelled}) AND state <> {state:waiting};
CREATE INDEX job_user ON {schema}.job (user_, id) WHERE user_ IS NOT NULL;
CREATE INDEX job_project ON {schema}.job (project, id) WHERE project IS NOT NULL;
CREATE INDEX job_group ON {schema}.job (group_, id) WHERE group_ IS NOT NULL;
CREATE INDEX job_unique ON {schema}.job (unique_, id) WHERE unique_ IS NOT NULL;

-- Which jobs a workflow has. A table and not an index of `job`: insert-only, where an index would be written again by each of the
-- three updates of a job's life.
CREATE TABLE {schema}.member (
    flow text COLLATE "C" NOT NULL,
    job text COLLATE "C" NOT NULL,
    PRIMARY KEY (flow, job)
);

CREATE SEQUENCE {schema}.seq AS bigint;
CREATE SEQUENCE {schema}.token AS bigint;
CREATE SEQUENCE {schema}.version AS bigint;

-- Who holds a unique key. `until` is set for keys held for a period.
CREATE TABLE {schema}.uniq (
    key text COLLATE "C" PRIMARY KEY,
    holder text COLLATE "C" NOT NULL,
    mode text NOT NULL,
    until bigint
);
-- The one job that is to run once more after the holder of its key, and takes the key then.
CREATE TABLE {schema}.follower (
    key text COLLATE "C" PRIMARY KEY,
    job text COLLATE "C" NOT NULL
);
CREATE INDEX uniq_until ON {schema}.uniq (until) WHERE until IS NOT NULL;

-- An open dependency: `child` waits for `parent`.
CREATE TABLE {schema}.edge (
    parent text COLLATE "C" NOT NULL,
    child text COLLATE "C" NOT NULL,
    on_failure text NOT NULL,
    PRIMARY KEY (parent, child)
);
CREATE INDEX edge_child ON {schema}.edge (child);

-- Parents whose edges are to be looked at. Append-only and without a key on `parent`, so that a user's open transaction that
-- enqueues a child never holds up the finish of the parent.
CREATE TABLE {schema}.settle (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    parent text COLLATE "C" NOT NULL
);

-- The edges of jobs that ended while they were blocked, should they be revived. `cause`: this parent's end ended the job.
CREATE TABLE {schema}.cut (
    parent text COLLATE "C" NOT NULL,
    child text COLLATE "C" NOT NULL,
    on_failure text NOT NULL,
    cause boolean NOT NULL,
    PRIMARY KEY (parent, child)
);
CREATE INDEX cut_child ON {schema}.cut (child);

-- Requeued parents that have more to revive than the call that requeued them could do.
CREATE TABLE {schema}.revive (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    parent text COLLATE "C" NOT NULL
);

-- One row per claim call that gave jobs: what a repeated call is answered from.
CREATE TABLE {schema}.claimed (
    session text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    token bigint NOT NULL,
    at bigint NOT NULL,
    PRIMARY KEY (session, number)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- Jobs per queue and state: sums, and what was added since they were last folded.
CREATE TABLE {schema}.total (
    queue text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (queue, state)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
CREATE TABLE {schema}.delta (
    queue text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    n integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- Tallies by minute, and the batches that finish calls added since they were last folded.
CREATE TABLE {schema}.tally (
    minute bigint NOT NULL,
    queue text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    bucket integer NOT NULL,
    value bigint NOT NULL,
    PRIMARY KEY (minute, queue, kind, name, bucket)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.1);
CREATE TABLE {schema}.batch (
    minute bigint NOT NULL,
    queues text[] NOT NULL,
    kinds text[] NOT NULL,
    names text[] NOT NULL,
    buckets integer[] NOT NULL,
    "values" bigint[] NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE {schema}.queue (
    name text COLLATE "C" PRIMARY KEY,
    paused_at bigint,
    ordering text NOT NULL DEFAULT 'strict',
    ageing bigint NOT NULL DEFAULT {ageing}
);
CREATE INDEX queue_ordered ON {schema}.queue (name) WHERE ordering <> 'strict';

-- A key with its limit, and how it stands. `awake`: lanes wait for it and it may have room. `opens_at`: its timer.
-- `ruling`: it holds for every job of its queue or kind.
CREATE TABLE {schema}.gate (
    key text COLLATE "C" PRIMARY KEY,
    concurrency bigint,
    n bigint,
    "window" bigint,
    burst bigint,
    shut_until bigint,
    trial bigint,
    pinned boolean NOT NULL DEFAULT false,
    ruling boolean NOT NULL GENERATED ALWAYS AS (starts_with(key, 'queue:') OR starts_with(key, 'kind:')) STORED,
    held bigint NOT NULL DEFAULT 0,
    awake boolean NOT NULL DEFAULT false,
    opens_at bigint,
    changed_at bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX gate_ruling ON {schema}.gate (key) WHERE ruling;
CREATE INDEX gate_awake ON {schema}.gate (key) WHERE awake;
CREATE INDEX gate_timer ON {schema}.gate (opens_at) WHERE opens_at IS NOT NULL;

-- The lines that limits.md speaks of, but for the plain one (`line` holds log lines). `id` is a digest of the next four, so that
-- an enqueue knows it without a look. `rank`: a lower bound of its head's place among its queue's lanes.
CREATE TABLE {schema}.lane (
    id uuid PRIMARY KEY,
    queue text COLLATE "C" NOT NULL,
    runtime text COLLATE "C" NOT NULL,
    grp text COLLATE "C",
    keys text[] COLLATE "C" NOT NULL,
    rank bigint NOT NULL,
    waits_for text COLLATE "C"
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX lane_queue ON {schema}.lane (queue);
CREATE INDEX lane_ready ON {schema}.lane (queue, runtime, rank, id) WHERE waits_for IS NULL;
CREATE INDEX lane_waiting ON {schema}.lane (waits_for, rank, id) WHERE waits_for IS NOT NULL;

-- What claims have not heard of yet: jobs that entered a lane, with what they say about its keys (`fresh`: an enqueue said
-- it); and slots given back. Append-only, so that neither a finish nor a user's open transaction waits for a claim.
CREATE TABLE {schema}.news (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane uuid,
    queue text COLLATE "C",
    runtime text COLLATE "C",
    grp text COLLATE "C",
    keys text[] COLLATE "C",
    weight integer,
    ord bigint,
    aged bigint,
    bounds {schema}.bound[],
    fresh boolean NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX news_queue ON {schema}.news (queue) WHERE queue IS NOT NULL;
CREATE TABLE {schema}.freed (
    key text COLLATE "C" NOT NULL,
    n integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- The logs of rates, of starts and (`taken`) of submissions; and buckets of tokens, in tokens times the window.
CREATE TABLE {schema}.spent (
    taken boolean NOT NULL,
    key text COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    cost bigint NOT NULL,
    until bigint NOT NULL,
    PRIMARY KEY (taken, key, at)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
CREATE TABLE {schema}.bucket (
    taken boolean NOT NULL,
    key text COLLATE "C" NOT NULL,
    level numeric NOT NULL,
    span bigint NOT NULL,
    at bigint NOT NULL,
    until bigint NOT NULL,
    PRIMARY KEY (taken, key)
) WITH (fillfactor = 50);

-- Virtual time of the groups of fair and weighted queues, and what was last served.
CREATE TABLE {schema}.turn (
    queue text COLLATE "C" NOT NULL,
    runtime text COLLATE "C" NOT NULL,
    grp text COLLATE "C" NOT NULL,
    pass bigint NOT NULL,
    weight integer NOT NULL,
    PRIMARY KEY (queue, runtime, grp)
) WITH (fillfactor = 50);
CREATE TABLE {schema}.pace (
    queue text COLLATE "C" NOT NULL,
    runtime text COLLATE "C" NOT NULL,
    pass bigint NOT NULL,
    PRIMARY KEY (queue, runtime)
) WITH (fillfactor = 50);
CREATE TABLE {schema}.worker (
    id text COLLATE "C" PRIMARY KEY,
    session text COLLATE "C" NOT NULL,
    info text NOT NULL,
    seen_at bigint NOT NULL,
    claimed_at bigint,
    until bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
CREATE TABLE {schema}.step (
    job text COLLATE "C" NOT NULL,
    position integer NOT NULL,
    name text NOT NULL,
    value text,
    done boolean NOT NULL,
    at bigint NOT NULL,
    attempt integer NOT NULL,
    PRIMARY KEY (job, position)
);
-- Signals that no step has taken yet.
CREATE TABLE {schema}.box (
    job text COLLATE "C" NOT NULL,
    n bigint GENERATED ALWAYS AS IDENTITY,
    name text COLLATE "C" NOT NULL,
    data text NOT NULL,
    PRIMARY KEY (job, n)
);
-- Log lines of jobs.
CREATE TABLE {schema}.line (
    job text COLLATE "C" NOT NULL,
    n bigint GENERATED ALWAYS AS IDENTITY,
    at bigint NOT NULL,
    attempt integer NOT NULL,
    level text NOT NULL,
    text text NOT NULL,
    PRIMARY KEY (job, n)
);
CREATE TABLE {schema}.schedule (
    key text COLLATE "C" PRIMARY KEY,
    spec text NOT NULL,
    owner text COLLATE "C",
    due bigint,
    paused boolean NOT NULL,
    last_due bigint,
    last_job text,
    fired bigint NOT NULL
);
CREATE TABLE {schema}.audit (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at bigint NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    target text COLLATE "C" NOT NULL,
    detail text NOT NULL
);
CREATE INDEX audit_target ON {schema}.audit (target, n);
CREATE INDEX audit_at ON {schema}.audit (at);
CREATE TABLE {schema}.record (
    space text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    text text NOT NULL,
    version bigint NOT NULL,
    until bigint,
    PRIMARY KEY (space, key)
) WITH (fillfactor = 70);
CREATE INDEX record_until ON {schema}.record (until) WHERE until IS NOT NULL;

-- The rescue mark: when somebody last looked for lapsed leases, and until when none is taken over.
CREATE TABLE {schema}.mark (
    name text PRIMARY KEY,
    at bigint NOT NULL,
    until bigint NOT NULL
) WITH (fillfactor = 50);
