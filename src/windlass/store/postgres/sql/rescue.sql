-- Takes over lapsed leases under fresh ones, unless the store stood still.
-- Input: worker, lease, limit, and the instant before which no lease lapsed is left (see rations.py). Output: the jobs as claims.
-- Relies on: job_leased; one row of `mark`, locked first, so that rescuers follow each other.

-- name: mark
WITH t AS MATERIALIZED (SELECT {schema}.clock() AS now)
INSERT INTO {schema}.mark AS m (name, at, until)
SELECT 'rescue', t.now, CASE WHEN EXISTS (SELECT FROM {schema}.mark WHERE name = 'rescue') THEN 0
    WHEN EXISTS (SELECT FROM {schema}.job WHERE state = {state:active}) THEN t.now + $1 ELSE 0 END FROM t
ON CONFLICT (name) DO UPDATE SET
    until = CASE WHEN excluded.at - m.at > $1 / 2 THEN excluded.at + $1 ELSE m.until END, at = greatest(m.at, excluded.at)
RETURNING at < until AS held, (SELECT now FROM t) AS now

-- name: restamp
WITH t AS MATERIALIZED (SELECT {schema}.clock() AS now)
UPDATE {schema}.job j SET lease_until = (SELECT now FROM t) + $1
WHERE j.state = {state:active} AND j.lease_until > (SELECT now FROM t) + 2 * $1

-- name: take
WITH t AS MATERIALIZED (SELECT {schema}.clock() AS now),
picked AS MATERIALIZED (
    SELECT j.ctid AS row FROM {schema}.job j
    WHERE j.state = {state:active} AND j.lease_until <= (SELECT now FROM t) AND j.lease_until > $4
    ORDER BY j.lease_until, j.ord LIMIT $3 FOR UPDATE SKIP LOCKED
),
granted AS MATERIALIZED (SELECT nextval('{schema}.token') AS token WHERE EXISTS (SELECT FROM picked))
UPDATE {schema}.job j SET worker = $1, lease = g.token, lease_until = t.now + $2
FROM picked p, granted g, t WHERE j.ctid = p.row
RETURNING {claim}, j.ord, t.now

-- name: unpark
WITH back AS MATERIALIZED (
    SELECT id FROM {schema}.job WHERE park = $1 ORDER BY ord LIMIT 500 FOR UPDATE SKIP LOCKED
),
up AS (UPDATE {schema}.job j SET park = NULL FROM back b WHERE j.id = b.id RETURNING j.id)
SELECT coalesce(array_agg(id), '{}') FROM up

-- name: enter
SELECT {schema}.enter_any($1::text[])
