-- Looking at jobs and what stands beside them; nothing here writes.
-- Input: ids, or nothing. Output: records under the names of `job.RECORD`.
-- Relies on: filters by `Where` are built in filters.py, which also finds the ids of a page.

-- name: columns
j.id, j.kind, j.queue, j.state, j.runtime, j.priority, j.args, j.result, j.error, j.reason, j.attempt, j.max_attempts, j.rescues,
j.trail, j.created_at, j.run_at, j.started_at, j.finished_at, j.expires_at, j.progress, j.note, j.worker,
CASE WHEN j.state = {state:active} THEN j.lease ELSE j.settled END AS lease, j.tags, j.user_ AS "user", j.project, j.group_ AS "group", j.workflow,
j.name, j.unique_ AS "unique", j.parents, j.options, j.cancelling IS NOT NULL AS cancelling,
coalesce(j.cost, 0) AS cost, coalesce(j.revivals, 0) AS revivals,
CASE WHEN j.state = {state:failed} THEN (SELECT d.retry_at FROM {schema}.dead d WHERE d.job = j.id) END AS next_retry_at

-- name: job
SELECT {record} FROM {schema}.job j WHERE id = $1

-- name: outcomes
SELECT {record} FROM {schema}.job j WHERE id = ANY($1::text[]) AND state IN ({any:final})

-- name: page
SELECT {record} FROM {schema}.job j WHERE id = ANY($1::text[]) ORDER BY id DESC

-- name: counts
SELECT queue, state, sum(n)::bigint AS n FROM (
    SELECT queue, state, n FROM {schema}.total UNION ALL SELECT queue, state, n FROM {schema}.delta
) s GROUP BY queue, state HAVING sum(n) <> 0 ORDER BY queue, state

-- name: queues
SELECT name, paused_at, ordering, ageing FROM {schema}.queue
UNION SELECT d.queue, NULL::bigint, 'strict', {ageing} FROM {schema}.delta d WHERE NOT EXISTS (SELECT FROM {schema}.queue q WHERE q.name = d.queue)
ORDER BY name

-- name: workers
SELECT w.info, w.seen_at, greatest(w.claimed_at, c.at) AS claimed_at
FROM {schema}.worker w LEFT JOIN LATERAL (
    SELECT at FROM {schema}.claimed c WHERE c.session = w.session ORDER BY number DESC LIMIT 1
) c ON true
WHERE w.until > {schema}.clock() ORDER BY w.id

-- name: log
SELECT at, attempt, level, text FROM (
    SELECT n, at, attempt, level, text FROM {schema}.line WHERE job = $1 ORDER BY n DESC LIMIT $2
) newest ORDER BY n

-- name: metrics
SELECT minute, queue, kind, name, bucket, sum(value)::bigint AS value FROM (
    SELECT minute, queue, kind, name, bucket, value FROM {schema}.tally WHERE minute >= $1 AND minute < $2
    UNION ALL
    SELECT b.minute, s.queue, s.kind, s.name, s.bucket, s.value FROM {schema}.batch b
    CROSS JOIN LATERAL unnest(b.queues, b.kinds, b.names, b.buckets, b.values) s(queue, kind, name, bucket, value)
    WHERE b.minute >= $1 AND b.minute < $2
) t
WHERE ($3::text[] IS NULL OR queue = ANY($3)) AND ($4::text[] IS NULL OR kind = ANY($4)) AND CASE WHEN $5::text[] IS NULL THEN strpos(name, ':') = 0
    ELSE name = ANY($5) OR EXISTS (SELECT FROM unnest($6::text[]) p WHERE starts_with(name, p)) END
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5

-- name: health
SELECT current_setting('server_version') AS version, current_setting('fsync') AS fsync,
       current_setting('synchronous_commit') AS synchronous_commit, current_setting('full_page_writes') AS full_page_writes,
       current_setting('idle_in_transaction_session_timeout') AS idle_timeout, pg_is_in_recovery() AS replica,
       (SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = '{plain_schema}' AND c.relkind = 'r') AS size,
       has_schema_privilege('{plain_schema}', 'CREATE') AS may_migrate,
       (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8 FROM pg_stat_activity
        WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()) AS oldest

-- name: schema
SELECT coalesce(max(version), 0) FROM {schema}.migration
