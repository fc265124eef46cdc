-- Deletes what retention no longer keeps.
-- Input: instants and bounds. Output: ids, locked, for `remove`; or nothing.
-- Relies on: job_completed and job_ended; a second look at edges after the lock, so that a child enqueued meanwhile is seen.

-- name: aged_completed
SELECT id FROM {schema}.job j
WHERE state = {state:completed} AND finished_at <= {schema}.clock() - $1::bigint AND NOT EXISTS (SELECT FROM {schema}.edge e WHERE e.parent = j.id)
ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED

-- name: aged_ended
SELECT j.id FROM (
    SELECT queue FROM {schema}.total WHERE state = $1 UNION SELECT queue FROM {schema}.delta WHERE state = $1
) q CROSS JOIN LATERAL (
    SELECT id FROM {schema}.job j
    WHERE state IN ({state:failed}, {state:cancelled}) AND state = $1 AND j.queue = q.queue
      AND finished_at <= {schema}.clock() - $2::bigint AND NOT EXISTS (SELECT FROM {schema}.edge e WHERE e.parent = j.id)
    ORDER BY finished_at LIMIT $3 FOR UPDATE SKIP LOCKED
) j LIMIT $3

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
