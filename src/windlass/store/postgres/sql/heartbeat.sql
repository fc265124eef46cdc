-- Keeps a worker's record fresh and extends the leases it names; progress and log lines of running attempts.
-- Input: the worker's description, ids and leases. Output: of the named jobs those still held, and which of the worker's were asked to stop.
-- Relies on: notes being written in the transaction that found, and locked, their jobs under the leases they came with.

-- name: record
WITH t AS MATERIALIZED (SELECT {schema}.clock() AS now)
INSERT INTO {schema}.worker AS w (id, session, info, seen_at, until)
SELECT $1, $2, $3, t.now, t.now + 10 * $4 FROM t
ON CONFLICT (id) DO UPDATE SET
    session = excluded.session, info = excluded.info, seen_at = excluded.seen_at, until = excluded.until
RETURNING (SELECT max(version) FROM {schema}.migration WHERE breaking) AS breaking, (
    SELECT r.text FROM {schema}.record r WHERE r.space = $5 AND r.key = $1 AND (r.until IS NULL OR r.until > w.seen_at)
) AS orders, ARRAY(
    SELECT f.job FROM {schema}.flag f JOIN {schema}.job j ON j.id = f.job
    WHERE j.worker = $1 AND j.lease_until IS NOT NULL AND j.cancelling IS NOT NULL
) AS flagged

-- name: leave
DELETE FROM {schema}.worker WHERE id = $1

-- name: extend
WITH t AS MATERIALIZED (SELECT {schema}.clock() AS now)
UPDATE {schema}.job j SET lease_until = t.now + $3
FROM unnest($1::text[], $2::bigint[]) h(id, lease), t
WHERE j.id = h.id AND j.lease = h.lease AND j.lease_until IS NOT NULL
RETURNING j.id, j.cancelling IS NOT NULL AS cancelling

-- name: holding
SELECT j.id, j.lease FROM {schema}.job j
WHERE j.id = ANY($1::text[]) AND j.lease_until IS NOT NULL ORDER BY j.id FOR NO KEY UPDATE

-- name: progress
UPDATE {schema}.job j SET progress = p.percent, note = p.note
FROM unnest($1::text[], $2::real[], $3::text[]) p(id, percent, note)
WHERE j.id = p.id

-- name: lines
WITH t AS MATERIALIZED (SELECT {schema}.clock() AS now)
INSERT INTO {schema}.line (job, at, attempt, level, text)
SELECT l.id, t.now - l.age, l.attempt, l.level, l.text
FROM unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::bigint[]) WITH ORDINALITY l(id, attempt, level, text, age, n), t
ORDER BY l.n

-- name: trim
DELETE FROM {schema}.line l USING (
    SELECT k.job, (SELECT n FROM {schema}.line o WHERE o.job = k.job ORDER BY n DESC OFFSET 1000 LIMIT 1) AS last
    FROM (SELECT DISTINCT unnest($1::text[]) AS job) k
) old WHERE l.job = old.job AND l.n <= old.last
