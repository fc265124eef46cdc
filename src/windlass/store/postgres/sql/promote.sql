-- What time brings: due jobs become waiting, expired ones end, left-over dependents are settled, sums are folded.
-- Input: the bound of each; `since`: nothing due or expiring before that instant is left (see rations.py). Output: what moved, how long until the next is due, whether there is more right now.
-- Relies on: job_due, job_expiry; `settle`; an advisory lock so that one process folds at a time.

-- name: routine
-- Adds what piled up in `delta` and `batch` to the sums, and registers queues that only a user's transaction has used. A few rows may lie: who
-- reads sums reads them too, and each fold writes the same rows of sums however few it adds. Tallies of a minute that is over do not wait.
CREATE OR REPLACE FUNCTION {schema}.fold() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    told bigint := (SELECT count(*) FROM (SELECT FROM {schema}.delta LIMIT {piled}) d);
    summed boolean := (
        SELECT count(*) >= {piled} OR min(minute) <= {schema}.clock() - 60000000 FROM (SELECT minute FROM {schema}.batch LIMIT {piled}) b
    );
BEGIN
    IF told = 0 AND summed IS NOT TRUE OR NOT pg_try_advisory_xact_lock(hashtextextended('windlass fold {plain_schema}', 0)) THEN
        RETURN;
    END IF;
    IF told > 0 THEN
        INSERT INTO {schema}.queue (name) SELECT DISTINCT d.queue FROM {schema}.delta d
        WHERE NOT EXISTS (SELECT FROM {schema}.queue q WHERE q.name = d.queue) ON CONFLICT DO NOTHING;
    END IF;
    IF told >= {piled} THEN
        WITH gone AS (DELETE FROM {schema}.delta RETURNING queue, state, n)
        INSERT INTO {schema}.total AS t (queue, state, n)
        SELECT queue, state, sum(n) FROM gone GROUP BY queue, state HAVING sum(n) <> 0
        ON CONFLICT (queue, state) DO UPDATE SET n = t.n + excluded.n;
    END IF;
    IF summed THEN
        WITH gone AS (DELETE FROM {schema}.batch RETURNING *)
        INSERT INTO {schema}.tally AS t (minute, queue, kind, name, bucket, value)
        SELECT g.minute, s.queue, s.kind, s.name, s.bucket, sum(s.value)
        FROM gone g CROSS JOIN LATERAL unnest(g.queues, g.kinds, g.names, g.buckets, g.values) s(queue, kind, name, bucket, value)
        GROUP BY 1, 2, 3, 4, 5
        ON CONFLICT (minute, queue, kind, name, bucket) DO UPDATE SET value = t.value + excluded.value;
    END IF;
END $$;

CREATE OR REPLACE FUNCTION {schema}.promote(
    bound integer, since bigint, OUT at bigint, OUT moved integer, OUT wait bigint, OUT more boolean, OUT readied boolean, OUT ended boolean
) LANGUAGE plpgsql AS $$
DECLARE
    ids text[]; lines text[]; expired text[]; parents text[]; left_over record;
BEGIN
    at := {schema}.clock();
    readied := false; ended := false; more := false;
    WITH due AS MATERIALIZED (
        SELECT id, state, run_at FROM {schema}.job WHERE {due} AND run_at <= at AND run_at > since
        ORDER BY run_at, ord LIMIT bound FOR UPDATE SKIP LOCKED
    ),
    numbered AS MATERIALIZED (SELECT d.id, d.state, nextval('{schema}.seq') AS seq FROM due d),
    up AS (
        UPDATE {schema}.job j SET
            state = {to:promote}, ord = {schema}.place(j.priority, d.seq), signal = NULL,
            reason = CASE WHEN j.signal IS NULL THEN j.reason END
        FROM numbered d WHERE j.id = d.id
        RETURNING j.id, j.queue, d.state AS before, j.bounds IS NOT NULL OR j.lane IS NOT NULL AS lined
    ),
    told AS (
        INSERT INTO {schema}.delta (queue, state, n)
        SELECT queue, before, -count(*) FROM up GROUP BY queue, before
        UNION ALL SELECT queue, {to:promote}, count(*) FROM up GROUP BY queue
    )
    SELECT count(*), array_agg(id) FILTER (WHERE lined OR {ruled}), array_agg(id) INTO moved, lines, ids FROM up;
    PERFORM {schema}.happen({to:promote}, ids, at);
    IF lines IS NOT NULL THEN
        PERFORM {schema}.enter(lines, false);
    END IF;
    readied := moved > 0;
    more := moved >= bound;
    SELECT array_agg(id ORDER BY id) INTO expired FROM (
        SELECT id FROM {schema}.job
        WHERE expires_at IS NOT NULL AND attempt = 0 AND state IN ({from:expire}) AND expires_at <= at
          AND expires_at > since
        ORDER BY expires_at LIMIT bound FOR UPDATE SKIP LOCKED
    ) e;
    IF expired IS NOT NULL THEN
        parents := {schema}.end_pending(expired, {to:expire}, 'expired', at, 'expire');
        moved := moved + cardinality(expired);
        ended := true;
        more := more OR cardinality(expired) >= bound;
    END IF;
    IF cardinality(parents) > 0 OR EXISTS (SELECT FROM {schema}.settle) THEN
        SELECT * INTO left_over FROM {schema}.settle(bound, coalesce(parents, '{}'), at, false);
        moved := moved + left_over.moved;
        more := more OR left_over.more;
        readied := readied OR left_over.readied;
        ended := ended OR left_over.ended;
    END IF;
    IF EXISTS (SELECT FROM {schema}.revive) THEN
        more := {schema}.revive_left(bound, at) OR more;
    END IF;
    PERFORM {schema}.fold();
    PERFORM {schema}.trim_journal(at);
    -- greatest() passes over NULL: without the CASE an empty store would say that something is due right now
    SELECT CASE WHEN min(run_at) IS NOT NULL THEN greatest(min(run_at) - at, 0) END INTO wait FROM {schema}.job
    WHERE {due} AND run_at > since AND run_at < {end_of_time};
END $$;

-- name: promote
SELECT at, moved, wait, more, readied, ended FROM {schema}.promote($1, $2)
