-- What remains of jobs that retention deleted.
-- Input: ids of jobs that are about to be deleted, whose rows are locked; how long, and how many are kept. Output: a record under the
--   names of `job.REMAINS`; whether there is more to drop.
-- Relies on: the row `past` of `mark`, locked first of all by whoever prunes: the last number given (`at`), and the first that is there
--   (`until`). None is left out, so they tell how many there are, and no look for them meets what an old snapshot keeps of the index.

-- name: routine
CREATE OR REPLACE FUNCTION {schema}.lock_past() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM {schema}.mark WHERE name = 'past' FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO {schema}.mark (name, at, until) VALUES ('past', 0, 1) ON CONFLICT (name) DO NOTHING;
        PERFORM FROM {schema}.mark WHERE name = 'past' FOR UPDATE;
    END IF;
END $$;

-- Deletes these jobs and keeps what remains of them, but for those of the house.
CREATE OR REPLACE FUNCTION {schema}.remember(ids text[]) RETURNS void LANGUAGE sql AS $$
    WITH gone AS (
        DELETE FROM {schema}.job j WHERE j.id = ANY(ids)
        RETURNING j.created_at, j.run_at, j.started_at, j.finished_at, j.expires_at, j.settled, j.cost, j.priority, j.attempt, j.max_attempts,
                  j.rescues, j.revivals, j.progress, j.id, j.kind, j.queue, j.state, j.runtime, j.worker, j.tags, j.user_, j.project, j.group_,
                  j.workflow, j.name, j.unique_, j.reason, j.error, j.trail
    ),
    kept AS (
        INSERT INTO {schema}.past (
            n, gone_at, created_at, run_at, started_at, finished_at, expires_at, lease, cost, priority, attempt, max_attempts, rescues,
            revivals, progress, id, kind, queue, state, runtime, worker, tags, user_, project, group_, workflow, name, unique_, reason,
            error, trail
        )
        SELECT (SELECT at FROM {schema}.mark WHERE name = 'past') + row_number() OVER (), (SELECT {schema}.clock()), created_at, run_at,
               started_at, finished_at, expires_at, settled, nullif(cost, 0), priority, attempt, max_attempts, nullif(rescues, 0),
               nullif(revivals, 0), progress, id, kind, queue, state, runtime, worker, tags, user_, project, group_, workflow, name, unique_,
               reason, error, trail
        FROM gone WHERE queue <> {house}
        RETURNING n
    ),
    counted AS (UPDATE {schema}.mark SET at = k.last FROM (SELECT max(n) AS last FROM kept) k WHERE name = 'past' AND k.last IS NOT NULL)
    INSERT INTO {schema}.delta (queue, state, n) SELECT queue, state, -count(*) FROM gone GROUP BY queue, state
$$;

-- Drops up to `most` of what went longer ago than `age`, or is not of the newest `keep`; whether there may be more.
CREATE OR REPLACE FUNCTION {schema}.forget(age bigint, keep bigint, most bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    first bigint; last bigint; stop bigint; old bigint := {schema}.clock() - age;
BEGIN
    SELECT m.until, m.at INTO first, last FROM {schema}.mark m WHERE m.name = 'past';
    stop := greatest(first, least(first + most, coalesce(last + 1 - keep, first)));
    IF EXISTS (SELECT FROM {schema}.past p WHERE p.n = stop AND p.gone_at <= old) THEN
        SELECT max(p.n) + 1 INTO stop FROM {schema}.past p WHERE p.n >= stop AND p.n < first + most AND p.gone_at <= old;
    END IF;
    IF stop > first THEN
        DELETE FROM {schema}.past p WHERE p.n >= first AND p.n < stop;
        UPDATE {schema}.mark SET until = stop WHERE name = 'past';
    END IF;
    RETURN stop - first >= most;
END $$;

-- name: lock
SELECT {schema}.lock_past()

-- name: forget
SELECT {schema}.forget($1, $2, $3)

-- name: past
SELECT gone_at, id, kind, queue, state, runtime, priority, error, reason, attempt, max_attempts, rescues, trail, created_at, run_at, started_at,
       finished_at, expires_at, progress, worker, lease, tags, user_ AS "user", project, group_ AS "group", workflow, name,
       unique_ AS "unique", false AS cancelling, coalesce(cost, 0) AS cost, coalesce(revivals, 0) AS revivals
FROM {schema}.past WHERE id = $1 AND NOT EXISTS (SELECT FROM {schema}.job WHERE id = $1) ORDER BY id DESC, n DESC LIMIT 1
