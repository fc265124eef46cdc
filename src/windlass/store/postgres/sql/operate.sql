-- Queue settings and schedules.
-- Input: the row. Output: what is stored now.
-- Relies on: `fire` comparing the due time in the UPDATE itself, so that of two that fire one finds it moved.

-- name: put_queue
INSERT INTO {schema}.queue AS q (name, paused_at, ordering, ageing)
VALUES ($1, CASE WHEN $2::boolean THEN {schema}.clock() END, coalesce($3, 'strict'), coalesce($4, {ageing}))
ON CONFLICT (name) DO UPDATE SET
    paused_at = CASE WHEN $2::boolean IS NULL THEN q.paused_at WHEN $2::boolean THEN coalesce(q.paused_at, excluded.paused_at) END,
    ordering = coalesce($3, q.ordering), ageing = coalesce($4, q.ageing)
RETURNING paused_at, ordering, ageing

-- name: put_schedule
INSERT INTO {schema}.schedule (key, spec, owner, due, paused, last_due, last_job, fired) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (key) DO UPDATE SET
    spec = excluded.spec, owner = excluded.owner, due = excluded.due, paused = excluded.paused

-- name: drop_schedules
DELETE FROM {schema}.schedule WHERE key = ANY($1::text[]) RETURNING key

-- name: schedules
SELECT key, spec, owner, due, paused, last_due, last_job, fired FROM {schema}.schedule ORDER BY key

-- name: due_schedules
SELECT key, spec, owner, due, paused, last_due, last_job, fired FROM {schema}.schedule WHERE due < $1 AND NOT paused ORDER BY key

-- name: fire
UPDATE {schema}.schedule SET due = $3, last_due = $2, fired = fired + CASE WHEN $4::boolean THEN 1 ELSE 0 END
WHERE key = $1 AND due = $2 RETURNING key

-- name: fired
UPDATE {schema}.schedule SET last_job = $2 WHERE key = $1

-- name: home
SELECT current_database(), (extract(epoch FROM min(applied_at)) * 1000000)::bigint FROM {schema}.migration
