-- Keeps a worker's record fresh and extends the leases it names; progress and log lines of running attempts.
-- Input: the worker's description, ids and leases. Output: of the named jobs those still held, and which were asked to stop.
-- Relies on: the lease being the job's; a note under another lease is dropped.

-- name: record
WITH t AS MATERIALIZED (SELECT {schema}.clock() AS now)
INSERT INTO {schema}.worker AS w (id, session, info, seen_at, until)
SELECT $1, $2, $3, t.now, t.now + 10 * $4 FROM t
ON CONFLICT (id) DO UPDATE SET
    session = excluded.session, info = excluded.info, seen_at = excluded.seen_at, until = excluded.until
RETURNING (SELECT max(version) FROM {schema}.migration WHERE breaking) AS breaking

-- name: leave
DELETE FROM {schema}.worker WHERE id = $1

-- name: extend
WITH t AS MATERIALIZED (SELECT {schema}.clock() AS now)
UPDATE {schema}.job j SET lease_until = t.now + $3
FROM unnest($1::text[], $2::bigint[]) h(id, lease), t
WHERE j.id = h.id AND j.lease = h.lease AND j.lease_until IS NOT NULL
RETURNING j.id, j.cancelling IS NOT NULL AS cancelling

-- name: progress
UPDATE {schema}.job j SET progress = p.percent, note = p.note
FROM unnest($1::text[], $2::bigint[], $3::real[], $4::text[]) p(id, lease, percent, note)
WHERE j.id = p.id AND j.lease = p.lease AND j.lease_until IS NOT NULL

-- name: lines
WITH t AS MATERIALIZED (SELECT {schema}.clock() AS now),
held AS MATERIALIZED (
    SELECT l.* FROM unnest($1::text[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::bigint[])
        WITH ORDINALITY l(id, lease, attempt, level, text, age, n)
    JOIN {schema}.job j ON j.id = l.id AND j.lease = l.lease AND j.lease_until IS NOT NULL
)
INSERT INTO {schema}.line (job, at, attempt, level, text)
SELECT h.id, t.now - h.age, h.attempt, h.level, h.text FROM held h, t ORDER BY h.n

-- name: trim
DELETE FROM {schema}.line l USING (
    SELECT k.job, (SELECT n FROM {schema}.line o WHERE o.job = k.job ORDER BY n DESC OFFSET 1000 LIMIT 1) AS last
    FROM (SELECT DISTINCT unnest($1::text[]) AS job) k
) old WHERE l.job = old.job AND l.n <= old.last
