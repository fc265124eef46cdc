-- Whole jobs out of this schema and into it, for a move between engines.
-- Input: a cursor and a bound; records as arrays. Output: records with place, edges and key; the ids that were new.
-- Relies on: no worker running.

-- name: dump
SELECT {record}, j.ord, j.park,
       (SELECT array_agg(e.parent ORDER BY e.parent) FROM {schema}.edge e WHERE e.child = j.id) AS edge_parents,
       (SELECT array_agg(e.on_failure ORDER BY e.parent) FROM {schema}.edge e WHERE e.child = j.id) AS edge_policies,
       u.key AS held, u.mode, u.until - j.created_at AS ttl, j.unique_until AS keeps, j.signal, j.weight,
       (SELECT array_agg(b.key) FROM unnest(j.bounds) b) AS b_keys, (SELECT array_agg(b.concurrency) FROM unnest(j.bounds) b) AS b_slots,
       (SELECT array_agg(b.n) FROM unnest(j.bounds) b) AS b_ns, (SELECT array_agg(b."window") FROM unnest(j.bounds) b) AS b_windows,
       (SELECT array_agg(b.burst) FROM unnest(j.bounds) b) AS b_bursts, (SELECT array_agg(b.cost) FROM unnest(j.bounds) b) AS b_costs
FROM {schema}.job j LEFT JOIN {schema}.uniq u ON u.key = j.unique_ AND u.holder = j.id
WHERE j.id > $1 AND (
    j.state IN ({any:live}, {state:failed}) OR j.dependents AND EXISTS (SELECT FROM {schema}.edge e WHERE e.parent = j.id)
) ORDER BY j.id LIMIT $2

-- name: load
WITH made AS (
INSERT INTO {schema}.job (
    id, kind, queue, state, runtime, priority, args, result, error, reason, attempt, max_attempts, rescues, trail, created_at,
    run_at, started_at, finished_at, expires_at, progress, note, tags, user_, project, group_, workflow, name, unique_, parents,
    options, ord, park, waits, unique_until, signal, cost, revivals, dependents
)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26,
       $27, $28, $29, $30, $31, $32, $33, $34, $35, nullif($36::bigint, 0), nullif($37::integer, 0), EXISTS (SELECT FROM {schema}.edge WHERE parent = $1)
ON CONFLICT (id) DO NOTHING RETURNING id, workflow
), joined AS (INSERT INTO {schema}.member (flow, job) SELECT workflow, id FROM made WHERE workflow IS NOT NULL)
SELECT id FROM made

-- name: bounds
UPDATE {schema}.job SET bounds = (
    SELECT array_agg(ROW(b.key, b.slots, b.rate, b.span, b.burst, b.cost)::{schema}.bound ORDER BY b.key COLLATE "C")
    FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[]) b(key, slots, rate, span, burst, cost)
) WHERE id = $1

-- name: weight
UPDATE {schema}.job SET weight = $2 WHERE id = $1

-- name: label
SELECT {schema}.label($1::text[])

-- name: enter
SELECT {schema}.enter_any($1::text[])

-- name: steps_of
SELECT job, position, name, value, done, at, attempt FROM {schema}.step WHERE job = ANY($1::text[]) ORDER BY job, position

-- name: box_of
SELECT job, name, data FROM {schema}.box WHERE job = ANY($1::text[]) ORDER BY job, n

-- name: steps
INSERT INTO {schema}.step (job, position, name, value, done, at, attempt)
SELECT $1, * FROM unnest($2::integer[], $3::text[], $4::text[], $5::boolean[], $6::bigint[], $7::integer[])

-- name: box
INSERT INTO {schema}.box (job, name, data)
SELECT $1, b.name, b.data FROM unnest($2::text[], $3::text[]) WITH ORDINALITY b(name, data, n) ORDER BY b.n

-- name: edges
INSERT INTO {schema}.edge (parent, child, on_failure) SELECT p, $2, f FROM unnest($1::text[], $3::text[]) e(p, f)
ON CONFLICT DO NOTHING

-- name: parents
UPDATE {schema}.job SET dependents = true WHERE id = ANY($1::text[]) AND NOT dependents

-- name: key
INSERT INTO {schema}.uniq (key, holder, mode, until) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING

-- name: settle
INSERT INTO {schema}.settle (parent) SELECT p.id FROM {schema}.job p
WHERE p.state IN ({any:final}) AND (p.id = ANY($1::text[]) OR p.id IN (SELECT parent FROM {schema}.edge WHERE child = ANY($1::text[])))
AND EXISTS (SELECT FROM {schema}.edge WHERE parent = p.id)

-- name: tell
SELECT {schema}.tell($1::text[], 1)

-- name: past
SELECT setval('{schema}.seq', greatest($1::bigint, (SELECT last_value FROM {schema}.seq))),
       setval('{schema}.token', greatest($2::bigint, (SELECT last_value FROM {schema}.token)))
