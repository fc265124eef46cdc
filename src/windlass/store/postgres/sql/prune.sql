-- Deletes what retention no longer keeps.
-- Input: instants and bounds. Output: ids, locked, for `remove`; or nothing.
-- Relies on: job_completed and job_ended; a second look at edges after the lock, so that a child enqueued meanwhile is seen;
--   rows of `mark` for walks whose looks would else pass over what they leave: `at` is how far one has come, `until` when it begins anew.

-- name: routine
-- Where a walk of completed jobs by their time of end goes on, for a rule of which not all queues are: the next of them that
-- are old enough. Looks at up to ten windows. Every hour it begins anew, for those that could not be deleted then.
CREATE OR REPLACE FUNCTION {schema}.walk_completed(rule text, asked text, others text[], age bigint, bound integer) RETURNS text[]
LANGUAGE plpgsql AS $$
DECLARE
    now bigint := {schema}.clock(); mark record; seen bigint; last bigint; found text[];
BEGIN
    INSERT INTO {schema}.mark (name, at, until) VALUES (rule, 0, now + 3600000000) ON CONFLICT DO NOTHING;
    SELECT m.at, m.until INTO mark FROM {schema}.mark m WHERE m.name = rule FOR UPDATE;
    last := CASE WHEN mark.until <= now THEN 0 ELSE mark.at END;
    FOR try IN 1..10 LOOP
        SELECT array_agg(w.id) FILTER (
                   WHERE (w.queue = asked OR asked IS NULL AND w.queue <> ALL(others))
                   AND NOT EXISTS (SELECT FROM {schema}.edge e WHERE e.parent = w.id)
               ), count(*), coalesce(max(w.finished_at), last)
        INTO found, seen, last FROM (
            SELECT j.id, j.queue, j.finished_at FROM {schema}.job j
            WHERE j.state = {state:completed} AND j.finished_at > last AND j.finished_at <= now - age
            ORDER BY j.finished_at FETCH FIRST (bound) ROWS WITH TIES
        ) w;
        EXIT WHEN seen < bound OR found IS NOT NULL;
    END LOOP;
    UPDATE {schema}.mark m SET at = last, until = CASE WHEN mark.until <= now THEN now + 3600000000 ELSE mark.until END
    WHERE m.name = rule AND (m.at <> last OR mark.until <= now);
    RETURN (SELECT array_agg(l.id) FROM (
        SELECT j.id FROM {schema}.job j WHERE j.id = ANY(found) AND j.state = {state:completed} AND j.finished_at <= now - age
        ORDER BY j.id FOR UPDATE SKIP LOCKED
    ) l);
END $$;

-- The next final jobs by their time of end, locked. What ended in the last seconds is looked at again: transactions overtake each other.
CREATE OR REPLACE FUNCTION {schema}.walk_ended(rule text, age bigint, bound integer) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    now bigint := {schema}.clock(); last bigint; found text[];
BEGIN
    INSERT INTO {schema}.mark (name, at, until) VALUES (rule, 0, 0) ON CONFLICT DO NOTHING;
    SELECT m.at INTO last FROM {schema}.mark m WHERE m.name = rule FOR UPDATE;
    SELECT array_agg(w.id), max(w.finished_at) INTO found, last FROM (
        SELECT e.id, e.finished_at FROM (
            (SELECT j.id, j.finished_at FROM {schema}.job j
             WHERE j.state = {state:completed} AND j.finished_at > last AND j.finished_at <= now - age
             ORDER BY j.finished_at FETCH FIRST (bound) ROWS WITH TIES)
            UNION ALL
            SELECT j.id, j.finished_at FROM (
                SELECT t.queue, t.state FROM {schema}.total t WHERE t.state IN ({state:failed}, {state:cancelled})
                UNION SELECT d.queue, d.state FROM {schema}.delta d WHERE d.state IN ({state:failed}, {state:cancelled})
            ) q CROSS JOIN LATERAL (
                SELECT j.id, j.finished_at FROM {schema}.job j
                WHERE j.state IN ({state:failed}, {state:cancelled}) AND j.state = q.state AND j.queue = q.queue
                  AND j.finished_at > last AND j.finished_at <= now - age
                ORDER BY j.finished_at FETCH FIRST (bound) ROWS WITH TIES
            ) j
        ) e ORDER BY e.finished_at FETCH FIRST (bound) ROWS WITH TIES
    ) w;
    IF found IS NULL THEN
        RETURN NULL;
    END IF;
    UPDATE {schema}.mark m SET at = greatest(m.at, least(last, now - 10000000)) WHERE m.name = rule;
    RETURN (SELECT array_agg(l.id) FROM (
        SELECT j.id FROM {schema}.job j WHERE j.id = ANY(found) AND j.state IN ({any:final}) AND j.finished_at <= now - age
        ORDER BY j.id FOR NO KEY UPDATE
    ) l);
END $$;

-- name: some_completed
SELECT unnest({schema}.walk_completed($1::text, $2::text, $3::text[], $4::bigint, $5::integer)) AS id

-- name: notes
WITH ids AS MATERIALIZED (SELECT unnest({schema}.walk_ended('logs', $1::bigint, $2::integer)) AS id),
lines AS (DELETE FROM {schema}.line l USING ids WHERE l.job = ids.id RETURNING l.job),
steps AS (DELETE FROM {schema}.step s USING ids WHERE s.job = ids.id RETURNING s.job),
signals AS (DELETE FROM {schema}.box b USING ids WHERE b.job = ids.id RETURNING b.job)
SELECT job AS id FROM lines UNION SELECT job FROM steps UNION SELECT job FROM signals

-- name: results
WITH ids AS MATERIALIZED (SELECT unnest({schema}.walk_ended('results', $1::bigint, $2::integer)) AS id)
UPDATE {schema}.job j SET result = NULL FROM ids WHERE j.id = ids.id AND j.result IS NOT NULL RETURNING j.id

-- name: aged_completed
SELECT id FROM {schema}.job j
WHERE state = {state:completed} AND finished_at <= {schema}.clock() - $1::bigint AND NOT EXISTS (SELECT FROM {schema}.edge e WHERE e.parent = j.id)
ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED

-- name: aged_ended
SELECT j.id FROM (
    SELECT queue FROM {schema}.total WHERE state = $1 AND ($2::text IS NULL OR queue = $2) AND queue <> ALL($3::text[])
    UNION SELECT queue FROM {schema}.delta WHERE state = $1 AND ($2::text IS NULL OR queue = $2) AND queue <> ALL($3::text[])
) q CROSS JOIN LATERAL (
    SELECT id FROM {schema}.job j
    WHERE state IN ({state:failed}, {state:cancelled}) AND state = $1 AND j.queue = q.queue
      AND finished_at <= {schema}.clock() - $4::bigint AND NOT EXISTS (SELECT FROM {schema}.edge e WHERE e.parent = j.id)
    ORDER BY finished_at LIMIT $5 FOR UPDATE SKIP LOCKED
) j LIMIT $5

-- name: surplus_completed
SELECT id FROM {schema}.job j
WHERE state = {state:completed} AND queue = $1 AND NOT EXISTS (SELECT FROM {schema}.edge e WHERE e.parent = j.id)
ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED

-- name: surplus_failed
SELECT id FROM {schema}.job j
WHERE state IN ({state:failed}, {state:cancelled}) AND state = {state:failed} AND queue = $1
  AND NOT EXISTS (SELECT FROM {schema}.edge e WHERE e.parent = j.id)
ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED

-- name: fold
SELECT {schema}.fold()

-- name: tallies
DELETE FROM {schema}.tally WHERE minute < {schema}.clock() - $1::bigint - 60000000

-- name: audits
DELETE FROM {schema}.audit WHERE at < {schema}.clock() - $1::bigint

-- name: rest
WITH t AS MATERIALIZED (SELECT {schema}.clock() AS now),
records AS (DELETE FROM {schema}.record r USING t WHERE r.until <= t.now),
keys AS (DELETE FROM {schema}.uniq u USING t WHERE u.until <= t.now),
workers AS (DELETE FROM {schema}.worker w USING t WHERE w.until < t.now - 86400000000)
SELECT

-- name: noted
-- A worker's newest claim outlives the rows that repeated claims are answered from.
UPDATE {schema}.worker w SET claimed_at = greatest(w.claimed_at, c.at)
FROM (SELECT session, max(at) AS at FROM {schema}.claimed WHERE at < {schema}.clock() - 600000000 GROUP BY session) c
WHERE w.session = c.session

-- name: claims
DELETE FROM {schema}.claimed WHERE at < {schema}.clock() - 600000000

-- name: journal
SELECT {schema}.trim_journal({schema}.clock())
