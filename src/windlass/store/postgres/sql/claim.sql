-- Leases waiting jobs: per queue and runtime in order, per runtime at most as many as there are slots.
-- Input: worker, session, number, lease, runtimes + slots, queues (NULL: all), and ranges of `ord` that are worth reading.
-- Output: the jobs; `seen`: -1, these queues have lanes, so nothing was taken; above 0 with no job, others were taking the same ones: ask again.
-- Relies on: locks taken in a MATERIALIZED CTE that is then joined (a subquery with LIMIT may be run again by the planner and
--   claim too many); the index job_ready, whose predicate is repeated as literals.

-- name: claim
WITH t AS MATERIALIZED (SELECT at AS now, {awake} AS awake FROM (SELECT {schema}.clock() AS at OFFSET 0) c),
-- Lanes are for claim_lined, one claim at a time; whether there are any is a look into empty indexes.
lined AS MATERIALIZED (SELECT {lined} AS yes),
source AS MATERIALIZED (
    SELECT q.name AS queue, s.runtime, s.n
    FROM (
        SELECT name FROM {schema}.queue WHERE $7::text[] IS NULL AND paused_at IS NULL
        UNION ALL
        SELECT w.name FROM (SELECT DISTINCT unnest($7::text[]) AS name) w
        WHERE NOT EXISTS (SELECT FROM {schema}.queue p WHERE p.name = w.name AND p.paused_at IS NOT NULL)
    ) q CROSS JOIN unnest($5::text[], $6::integer[]) s(runtime, n) WHERE NOT (SELECT yes FROM lined)
),
range AS MATERIALIZED (
    SELECT l.queue, l.runtime, l.n, coalesce(r.lo, 0) AS lo, coalesce(r.hi, 9223372036854775807) AS hi
    FROM source l LEFT JOIN unnest($8::text[], $9::text[], $10::bigint[], $11::bigint[]) r(queue, runtime, lo, hi)
        ON r.queue = l.queue AND r.runtime = l.runtime
    ORDER BY l.queue, l.runtime, 4
),
-- Several queues share slots: look first, without locks, where the line of all of them is cut off.
peek AS MATERIALIZED (
    SELECT l.runtime, l.n, p.ord, row_number() OVER (PARTITION BY l.runtime ORDER BY p.ord) AS place
    FROM source l CROSS JOIN LATERAL (
        SELECT j.ord FROM range r CROSS JOIN LATERAL (
            SELECT j.ord FROM {schema}.job j CROSS JOIN t
            WHERE j.queue = r.queue AND j.runtime = r.runtime AND j.ord >= r.lo AND j.ord < r.hi
              AND j.state = {state:waiting} AND j.park IS NULL AND j.lane IS NULL
              AND (j.expires_at IS NULL OR j.expires_at > t.now OR j.attempt > 0)
            ORDER BY j.ord LIMIT l.n
        ) j WHERE r.queue = l.queue AND r.runtime = l.runtime LIMIT l.n
    ) p
    WHERE (SELECT count(*) FROM source) > (SELECT count(*) FROM unnest($5::text[]))
),
cut AS MATERIALIZED (SELECT runtime, max(ord) AS ord FROM peek WHERE place <= n GROUP BY runtime),
picked AS MATERIALIZED (
    SELECT p.ctid AS row
    FROM source l LEFT JOIN cut c ON c.runtime = l.runtime
    CROSS JOIN LATERAL (
        SELECT j.ctid FROM range r CROSS JOIN LATERAL (
            SELECT j.ctid FROM {schema}.job j
            WHERE j.queue = r.queue AND j.runtime = r.runtime AND j.ord >= r.lo AND j.ord < r.hi
              AND j.ord <= coalesce(c.ord, 9223372036854775807)
              AND j.state = {state:waiting} AND j.park IS NULL AND j.lane IS NULL
              AND (j.expires_at IS NULL OR j.expires_at > (SELECT now FROM t) OR j.attempt > 0)
            ORDER BY j.ord LIMIT l.n FOR UPDATE SKIP LOCKED
        ) j WHERE r.queue = l.queue AND r.runtime = l.runtime LIMIT l.n
    ) p
),
mark AS MATERIALIZED (
    INSERT INTO {schema}.claimed (session, number, token, at)
    SELECT $2, $3, nextval('{schema}.token'), t.now FROM t WHERE EXISTS (SELECT FROM picked)
    ON CONFLICT DO NOTHING RETURNING token
),
taken AS (
    UPDATE {schema}.job j
    SET state = {to:claim}, worker = $1, lease = m.token, lease_until = t.now + $4, started_at = t.now
    FROM picked p, mark m, t WHERE j.ctid = p.row
    RETURNING {plain_claim}, j.ord, t.now, j.unique_, j.unique_until
),
freed AS (
    DELETE FROM {schema}.uniq u USING taken x
    WHERE x.unique_until = 'started' AND u.key = x.unique_ AND u.holder = x.id AND u.mode = 'started'
),
told AS (
    INSERT INTO {schema}.delta (queue, state, n)
    SELECT c.queue, s.state, s.sign * c.n FROM (SELECT queue, count(*) AS n FROM taken GROUP BY queue) c,
    (VALUES ({state:waiting}, -1), ({to:claim}, 1)) s(state, sign)
)
-- Each column costs both sides for each job: what is said of the whole call is one, -1 for lanes, and what a plain job has not is left out.
SELECT CASE WHEN (SELECT yes FROM lined) THEN -1 ELSE (SELECT count(*) FROM peek) END + CASE WHEN (SELECT awake FROM t) THEN (
    SELECT {schema}.told({to:claim}, array_agg(id), (SELECT now FROM t)) FROM taken
) ELSE 0 END AS seen, {given}, x.ord, x.now
FROM (VALUES (1)) one(n) LEFT JOIN taken x ON true

-- name: prior
SELECT token, {schema}.clock() FROM {schema}.claimed WHERE session = $1 AND number = $2

-- name: again
WITH t AS MATERIALIZED (SELECT {schema}.clock() AS now)
UPDATE {schema}.job j SET lease_until = t.now + $2 FROM t
WHERE j.lease = $1 AND j.state = {state:active}
RETURNING {claim}, j.ord, t.now

-- name: wait_all
-- `fresh`: a queue that only a user's transaction has used so far is not registered yet, so no claim looks at it.
SELECT (SELECT min(run_at) FROM {schema}.job WHERE {due} AND run_at > $1 AND run_at < {end_of_time}) - {schema}.clock() AS wait, EXISTS (
    SELECT FROM {schema}.delta d WHERE NOT EXISTS (SELECT FROM {schema}.queue q WHERE q.name = d.queue)
) AS fresh

-- name: register
INSERT INTO {schema}.queue (name) SELECT DISTINCT d.queue FROM {schema}.delta d
WHERE NOT EXISTS (SELECT FROM {schema}.queue q WHERE q.name = d.queue) ORDER BY 1 ON CONFLICT DO NOTHING

-- name: wait_queues
SELECT min(d.run_at) - {schema}.clock() FROM (SELECT DISTINCT unnest($1::text[]) AS queue) q CROSS JOIN LATERAL (
    SELECT run_at FROM {schema}.job j WHERE j.queue = q.queue AND {due} AND run_at > $2 AND run_at < {end_of_time} ORDER BY run_at LIMIT 1
) d

-- name: any_lanes
EXISTS (SELECT FROM {schema}.lane) OR EXISTS (SELECT FROM {schema}.news WHERE queue IS NOT NULL)
OR EXISTS (SELECT FROM {schema}.gate g WHERE g.ruling)

-- name: their_lanes
EXISTS (SELECT FROM {schema}.lane l WHERE l.queue = ANY($7::text[])) OR EXISTS (SELECT FROM {schema}.news n WHERE n.queue = ANY($7::text[]))
OR EXISTS (SELECT FROM {schema}.gate g WHERE g.ruling AND (starts_with(g.key, 'kind:') OR substr(g.key, 7) = ANY($7::text[])))

-- name: columns
j.id, j.lease, j.kind, j.queue, j.args, j.attempt + 1 AS attempt, j.max_attempts, j.priority, j.runtime, j.options, j.rescues,
j.created_at, j.run_at, j.expires_at, j.user_, j.project, j.group_, j.workflow, j.name, j.tags, j.cancelling IS NOT NULL AS cancelling

-- name: limits
j.keys IS NOT NULL AS limited, CASE WHEN j.keys IS NOT NULL
    THEN EXISTS (SELECT FROM {schema}.gate g WHERE g.key = ANY(j.keys) AND g.n IS NOT NULL) ELSE false END AS rated
