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
    now bigint := {schema}.clock(); last bigint; place text; seen record;
BEGIN
    INSERT INTO {schema}.mark (name, at, until) VALUES (rule, 0, now + 3600000000)
    ON CONFLICT (name) DO UPDATE SET at = 0, past = '', until = excluded.until WHERE mark.until <= now;
    SELECT m.at, m.past INTO last, place FROM {schema}.mark m WHERE m.name = rule FOR UPDATE;
    FOR try IN 1..10 LOOP
        SELECT count(*) AS n, max(w.finished_at) AS last, (array_agg(w.id ORDER BY w.finished_at DESC, w.id DESC))[1] AS place,
               array_agg(w.id) FILTER (
                   WHERE (w.queue = asked OR asked IS NULL AND w.queue <> ALL(others))
                   AND NOT EXISTS (SELECT FROM {schema}.edge e WHERE e.parent = w.id)
               ) AS ids
        INTO seen FROM (
            SELECT j.id, j.queue, j.finished_at FROM {schema}.job j
            WHERE j.state = {state:completed} AND j.finished_at >= last AND j.finished_at <= now - age
              AND (j.finished_at > last OR j.id > place)
            ORDER BY j.finished_at, j.id LIMIT bound
        ) w;
        EXIT WHEN seen.n = 0;
        last := seen.last;
        place := seen.place;
        EXIT WHEN seen.n < bound OR seen.ids IS NOT NULL;
    END LOOP;
    UPDATE {schema}.mark m SET at = last, past = place WHERE m.name = rule AND (m.at, m.past) IS DISTINCT FROM (last, place);
    RETURN (SELECT array_agg(l.id) FROM (
        SELECT j.id, j.state, j.finished_at FROM {schema}.job j WHERE j.id = ANY(seen.ids) ORDER BY j.id OFFSET 0 FOR UPDATE SKIP LOCKED
    ) l WHERE l.state = {state:completed} AND l.finished_at <= now - age); -- fenced off, or this begins at all completed jobs
END $$;

-- Drops notes or results of final jobs, which are walked by their time of end; of which jobs there was something to drop. Looks at up to
-- ten windows until there is. At the end it steps back ten seconds: transactions overtake each other.
CREATE OR REPLACE FUNCTION {schema}.lighten(rule text, age bigint, bound integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    now bigint := {schema}.clock(); last bigint; place text; seen record; ids text[]; touched text[];
BEGIN
    INSERT INTO {schema}.mark (name, at, until) VALUES (rule, 0, 0) ON CONFLICT DO NOTHING;
    SELECT m.at, m.past INTO last, place FROM {schema}.mark m WHERE m.name = rule FOR UPDATE;
    FOR try IN 1..10 LOOP
        SELECT count(*) AS n, array_agg(w.id) AS ids, max(w.finished_at) AS last,
               (array_agg(w.id ORDER BY w.finished_at DESC, w.id DESC))[1] AS place
        INTO seen FROM (
            SELECT e.id, e.finished_at FROM (
                (SELECT j.id, j.finished_at FROM {schema}.job j
                 WHERE j.state = {state:completed} AND j.finished_at >= last AND j.finished_at <= now - age
                   AND (j.finished_at > last OR j.id > place)
                 ORDER BY j.finished_at, j.id LIMIT bound)
                UNION ALL
                SELECT j.id, j.finished_at FROM (
                    SELECT t.queue, t.state FROM {schema}.total t WHERE t.state IN ({state:failed}, {state:cancelled})
                    UNION SELECT d.queue, d.state FROM {schema}.delta d WHERE d.state IN ({state:failed}, {state:cancelled})
                ) q CROSS JOIN LATERAL (
                    SELECT j.id, j.finished_at FROM {schema}.job j
                    WHERE j.state IN ({state:failed}, {state:cancelled}) AND j.state = q.state AND j.queue = q.queue
                      AND j.finished_at >= last AND j.finished_at <= now - age AND (j.finished_at > last OR j.id > place)
                    ORDER BY j.finished_at, j.id LIMIT bound
                ) j
            ) e ORDER BY e.finished_at, e.id LIMIT bound
        ) w;
        SELECT array_agg(l.id) INTO ids FROM (
            SELECT j.id, j.state, j.finished_at FROM {schema}.job j WHERE j.id = ANY(seen.ids) ORDER BY j.id OFFSET 0 FOR NO KEY UPDATE
        ) l WHERE l.state IN ({any:final}) AND l.finished_at <= now - age;
        IF rule = 'logs' THEN
            WITH lines AS (DELETE FROM {schema}.line WHERE job = ANY(ids) RETURNING job),
            steps AS (DELETE FROM {schema}.step WHERE job = ANY(ids) RETURNING job),
            signals AS (DELETE FROM {schema}.box WHERE job = ANY(ids) RETURNING job)
            SELECT array_agg(job) INTO touched FROM (
                SELECT job FROM lines UNION SELECT job FROM steps UNION SELECT job FROM signals
            ) t;
        ELSE
            WITH dropped AS (UPDATE {schema}.job SET result = NULL WHERE id = ANY(ids) AND result IS NOT NULL RETURNING id)
            SELECT array_agg(id) INTO touched FROM dropped;
        END IF;
        IF seen.n < bound THEN
            last := least(coalesce(seen.last, last), now - 10000000);
            place := '';
            EXIT;
        END IF;
        last := seen.last;
        place := seen.place;
        EXIT WHEN touched IS NOT NULL;
    END LOOP;
    UPDATE {schema}.mark m SET at = last, past = place WHERE m.name = rule AND (m.at, m.past) IS DISTINCT FROM (last, place);
    RETURN QUERY SELECT unnest(touched);
END $$;

-- name: some_completed
SELECT unnest({schema}.walk_completed($1::text, $2::text, $3::text[], $4::bigint, $5::integer)) AS id

-- name: lighten
SELECT {schema}.lighten($1::text, $2::bigint, $3::integer)

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
SELECT id FROM {schema}.job j WHERE id = ANY(ARRAY(
    SELECT id FROM (
        SELECT id, workflow, finished_at FROM {schema}.job WHERE state = {state:completed} AND queue = $1 ORDER BY finished_at LIMIT $2
    ) oldest
    WHERE (workflow IS NULL OR finished_at <= {schema}.clock() - {spared})
      AND NOT EXISTS (SELECT FROM {schema}.edge e WHERE e.parent = oldest.id)
    LIMIT $3
)) FOR UPDATE SKIP LOCKED

-- name: surplus_failed
SELECT id FROM {schema}.job j WHERE id = ANY(ARRAY(
    SELECT id FROM (
        SELECT id, workflow, finished_at FROM {schema}.job
        WHERE state IN ({state:failed}, {state:cancelled}) AND state = {state:failed} AND queue = $1 ORDER BY finished_at LIMIT $2
    ) oldest
    WHERE (workflow IS NULL OR finished_at <= {schema}.clock() - {spared})
      AND NOT EXISTS (SELECT FROM {schema}.edge e WHERE e.parent = oldest.id)
    LIMIT $3
)) FOR UPDATE SKIP LOCKED

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
flags AS (
    DELETE FROM {schema}.flag f
    WHERE NOT EXISTS (SELECT FROM {schema}.job j WHERE j.id = f.job AND j.lease_until IS NOT NULL AND j.cancelling IS NOT NULL)
),
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
