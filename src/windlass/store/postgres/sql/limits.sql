-- Limits as operators change and see them, uses of rates by submissions, and what is swept away.
-- Input: a key and what to change; uses. Output: how keys stand.
-- Relies on: `lock_lines` before anything of a key is changed; for `take` a lock of its own per key.

-- name: routine
-- Changes a key; whether it is new.
CREATE OR REPLACE FUNCTION {schema}.put_limit(
    of text, sets_slots boolean, slots bigint, sets_rate boolean, rate_n bigint, rate_window bigint, rate_burst bigint,
    sets_shut boolean, shut_for bigint, trial_ bigint, pin boolean, forget boolean
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    at bigint; fresh boolean;
BEGIN
    PERFORM {schema}.lock_lines();
    at := {schema}.clock();
    PERFORM {schema}.hear(at);
    IF forget THEN
        DELETE FROM {schema}.gate WHERE key = of;
        DELETE FROM {schema}.spent WHERE NOT taken AND key = of;
        DELETE FROM {schema}.bucket WHERE NOT taken AND key = of;
        UPDATE {schema}.lane SET waits_for = NULL WHERE waits_for = of;
        RETURN false;
    END IF;
    INSERT INTO {schema}.gate (key, held, changed_at) VALUES (of, {schema}.holding(of), at) ON CONFLICT DO NOTHING;
    fresh := FOUND;
    UPDATE {schema}.gate g SET
        concurrency = CASE WHEN sets_slots THEN slots ELSE g.concurrency END,
        n = CASE WHEN sets_rate THEN rate_n ELSE g.n END,
        "window" = CASE WHEN sets_rate THEN rate_window ELSE g."window" END,
        burst = CASE WHEN sets_rate THEN rate_burst ELSE g.burst END,
        shut_until = CASE WHEN sets_shut THEN at + shut_for ELSE g.shut_until END,
        trial = CASE WHEN sets_shut THEN CASE WHEN shut_for IS NOT NULL THEN trial_ END ELSE g.trial END,
        pinned = coalesce(pin, g.pinned), changed_at = at, opens_at = NULL,
        awake = EXISTS (SELECT FROM {schema}.lane l WHERE l.waits_for = of)
    WHERE g.key = of;
    RETURN fresh;
END $$;

-- Puts waiting jobs of the plain line, beyond a place in it, under a new key of their queue or kind. Rows that others hold are left: a
-- claim puts them right. Output: the last place looked at, NULL at the end.
CREATE OR REPLACE FUNCTION {schema}.reline_plain(
    of text, after_queue text, after_runtime text, after_ord bigint, most integer, OUT queue text, OUT runtime text, OUT ord bigint
) LANGUAGE plpgsql AS $$
DECLARE
    ids text[]; n integer;
BEGIN
    WITH step AS MATERIALIZED (
        SELECT j.id, j.kind, j.queue, j.runtime, j.ord FROM {schema}.job j
        WHERE j.state = {state:waiting} AND j.park IS NULL AND j.lane IS NULL
          AND (j.queue, j.runtime, j.ord) > (after_queue, after_runtime, after_ord)
        ORDER BY j.queue, j.runtime, j.ord LIMIT most
    ),
    last AS (SELECT s.queue, s.runtime, s.ord FROM step s ORDER BY s.queue DESC, s.runtime DESC, s.ord DESC LIMIT 1),
    held AS MATERIALIZED (
        SELECT j.id FROM {schema}.job j JOIN step s ON s.id = j.id
        WHERE of IN ('queue:' || s.queue, 'kind:' || s.kind) AND j.state = {state:waiting} FOR UPDATE OF j SKIP LOCKED
    )
    SELECT l.queue, l.runtime, l.ord, (SELECT array_agg(h.id) FROM held h), (SELECT count(*) FROM step)
    INTO queue, runtime, ord, ids, n FROM (SELECT) one LEFT JOIN last l ON true;
    PERFORM {schema}.enter(ids, false);
    IF n < most THEN
        queue := NULL;
    END IF;
END $$;

-- The same for the jobs of lanes that do not have the key.
CREATE OR REPLACE FUNCTION {schema}.reline_lanes(
    of text, after_lane uuid, after_ord bigint, most integer, OUT lane uuid, OUT ord bigint
) LANGUAGE plpgsql AS $$
DECLARE
    ids text[]; n integer;
BEGIN
    WITH step AS MATERIALIZED (
        SELECT j.id, j.kind, j.queue, j.lane, j.ord, coalesce(of = ANY(j.keys), false) AS has FROM {schema}.job j
        WHERE j.state = {state:waiting} AND j.park IS NULL AND j.lane IS NOT NULL AND (j.lane, j.ord) > (after_lane, after_ord)
        ORDER BY j.lane, j.ord LIMIT most
    ),
    last AS (SELECT s.lane, s.ord FROM step s ORDER BY s.lane DESC, s.ord DESC LIMIT 1),
    held AS MATERIALIZED (
        SELECT j.id FROM {schema}.job j JOIN step s ON s.id = j.id
        WHERE NOT s.has AND of IN ('queue:' || s.queue, 'kind:' || s.kind) AND j.state = {state:waiting} FOR UPDATE OF j SKIP LOCKED
    )
    SELECT l.lane, l.ord, (SELECT array_agg(h.id) FROM held h), (SELECT count(*) FROM step)
    INTO lane, ord, ids, n FROM (SELECT) one LEFT JOIN last l ON true;
    PERFORM {schema}.enter(ids, false);
    IF n < most THEN
        lane := NULL;
    END IF;
END $$;

-- The running jobs of a queue or kind become holders of its new key: their ends will give the slot back.
CREATE OR REPLACE FUNCTION {schema}.reline_active(of text) RETURNS void LANGUAGE sql AS $$
    WITH held AS MATERIALIZED (
        SELECT j.id, j.queue, j.runtime, {schema}.group_of(q.ordering, j.group_, j.user_, j.priority) AS grp, k.keys, k.costs
        FROM {schema}.job j LEFT JOIN {schema}.queue q ON q.name = j.queue CROSS JOIN LATERAL (
            SELECT array_agg(k.key ORDER BY k.key) AS keys,
                   CASE WHEN j.costs IS NOT NULL THEN array_agg(coalesce(k.cost, 1) ORDER BY k.key) END AS costs
            FROM (SELECT o.key COLLATE "C" AS key, o.cost FROM unnest(j.keys, j.costs) o(key, cost) UNION ALL SELECT of, 1) k
        ) k
        WHERE j.state = {state:active} AND of IN ('queue:' || j.queue, 'kind:' || j.kind) AND coalesce(of <> ALL(j.keys), true)
        ORDER BY j.id FOR UPDATE OF j
    ),
    put AS (
        UPDATE {schema}.job j SET keys = h.keys, costs = h.costs, lane = md5(ROW(h.queue, h.runtime, h.grp, h.keys)::text)::uuid
        FROM held h WHERE j.id = h.id
    )
    INSERT INTO {schema}.freed (key, n) SELECT of, -count(*) FROM held HAVING count(*) > 0
$$;

-- Uses rates, all or none. Every key is locked first, so that of two calls one sees what the other took.
CREATE OR REPLACE FUNCTION {schema}.take(keys text[], ns bigint[], spans bigint[], bursts bigint[], costs bigint[])
RETURNS TABLE (granted boolean, count bigint, reset_at bigint) LANGUAGE plpgsql AS $$
DECLARE
    at bigint; fit boolean := true; spares bigint[] := '{}'; cost bigint; of text;
BEGIN
    FOR of IN SELECT DISTINCT k.key FROM unnest(keys) k(key) ORDER BY 1 LOOP
        PERFORM pg_advisory_xact_lock(hashtextextended('windlass take {plain_schema} ' || of, 0));
    END LOOP;
    at := {schema}.clock();
    FOR i IN 1..cardinality(keys) LOOP
        spares := spares || {schema}.rate_left(true, keys[i], ns[i], spans[i], bursts[i], 0, at);
        cost := least(greatest(costs[i], 1), coalesce(bursts[i], ns[i]));
        fit := fit AND spares[i] >= cost;
    END LOOP;
    granted := fit;
    FOR i IN 1..cardinality(keys) LOOP
        cost := least(costs[i], coalesce(bursts[i], ns[i]));
        reset_at := coalesce({schema}.rate_opens(true, keys[i], ns[i], spans[i], bursts[i], 0, greatest(cost, 1), at), at);
        IF fit AND cost > 0 THEN
            PERFORM {schema}.spend(true, keys[i], ns[i], spans[i], bursts[i], 0, cost, at);
            spares[i] := spares[i] - cost;
        END IF;
        count := greatest(coalesce(bursts[i], ns[i]) - spares[i], 0);
        RETURN NEXT;
    END LOOP;
END $$;

-- What nothing uses any more: old entries of logs, full buckets, lanes without jobs, keys that have been of no use for a day.
CREATE OR REPLACE FUNCTION {schema}.sweep_limits(after_lane uuid, most integer) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    today bigint; looked uuid[];
BEGIN
    PERFORM {schema}.lock_lines();
    today := {schema}.clock();
    PERFORM {schema}.hear(today);
    DELETE FROM {schema}.spent WHERE until <= today;
    DELETE FROM {schema}.bucket WHERE until <= today;
    SELECT array_agg(l.id ORDER BY l.id) INTO looked FROM (SELECT l.id FROM {schema}.lane l WHERE l.id > after_lane ORDER BY l.id LIMIT most) l;
    DELETE FROM {schema}.lane l WHERE l.id = ANY(looked) AND NOT EXISTS (
        SELECT FROM {schema}.job j WHERE j.lane = l.id AND j.state = {state:waiting} AND j.park IS NULL
    );
    DELETE FROM {schema}.gate g WHERE NOT g.pinned AND g.held = 0 AND g.changed_at <= today - 86400000000 AND coalesce(g.shut_until, 0) <= today
    AND g.trial IS NULL AND g.key NOT IN (SELECT k.key FROM {schema}.lane l CROSS JOIN LATERAL unnest(l.keys) k(key))
    AND NOT EXISTS (SELECT FROM {schema}.spent s WHERE NOT s.taken AND s.key = g.key);
    DELETE FROM {schema}.turn t USING {schema}.pace p WHERE p.queue = t.queue AND p.runtime = t.runtime AND t.pass <= p.pass
    AND NOT EXISTS (SELECT FROM {schema}.lane l WHERE l.queue = t.queue AND l.runtime = t.runtime AND l.grp = t.grp);
    RETURN CASE WHEN cardinality(looked) = most THEN looked[most] END;
END $$;

-- Ranks of a queue's lanes after its order changed. Under the lock.
CREATE OR REPLACE FUNCTION {schema}.rerank(of text, at bigint) RETURNS void LANGUAGE sql AS $$
    UPDATE {schema}.lane l SET rank = x.rank FROM (
        SELECT l.id, CASE q.ordering WHEN 'strict' THEN h.ord WHEN 'ageing' THEN h.aged ELSE coalesce(t.pass, 0) END AS rank
        FROM {schema}.lane l JOIN {schema}.queue q ON q.name = l.queue
        LEFT JOIN {schema}.turn t ON t.queue = l.queue AND t.runtime = l.runtime AND t.grp = coalesce(l.grp, '')
        CROSS JOIN LATERAL {schema}.heads(l.id, q.ageing, at, NULL, 1) h WHERE l.queue = of
    ) x WHERE l.id = x.id AND l.rank <> x.rank
$$;

-- name: put
SELECT {schema}.put_limit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)

-- name: reline_plain
SELECT queue, runtime, ord FROM {schema}.reline_plain($1, $2, $3, $4, $5)

-- name: reline_lanes
SELECT lane, ord FROM {schema}.reline_lanes($1, $2, $3, $4)

-- name: reline_active
SELECT {schema}.reline_active($1)

-- name: hear
SELECT {schema}.lock_lines(), {schema}.hear({schema}.clock())

-- name: columns
g.key, g.concurrency, g.n, g."window", g.burst, g.shut_until, g.trial, g.pinned, g.held,
CASE WHEN g.n IS NULL THEN 0
     ELSE greatest(coalesce(g.burst, g.n) - {schema}.rate_left(false, g.key, g.n, g."window", g.burst, {guard}, t.now), 0) END AS used,
{schema}.opens(g, 1, t.now) AS opens_at, EXISTS (SELECT FROM {schema}.lane l WHERE l.waits_for = g.key) AS waiting

-- name: all
WITH t AS MATERIALIZED (SELECT {schema}.clock() AS now) SELECT {gates} FROM {schema}.gate g, t ORDER BY g.key LIMIT $1

-- name: some
WITH t AS MATERIALIZED (SELECT {schema}.clock() AS now)
SELECT {gates} FROM {schema}.gate g, t WHERE g.key = ANY($1::text[]) ORDER BY g.key LIMIT $2

-- name: take
SELECT granted, count, reset_at FROM {schema}.take($1, $2, $3, $4, $5)

-- name: sweep
SELECT {schema}.sweep_limits($1, $2)

-- name: rerank
SELECT {schema}.rerank($1, {schema}.clock())

-- name: standing
SELECT {schema}.clock() AS now, j.park, j.signal, j.keys, j.bounds IS NOT NULL AS bound, q.name, q.paused_at,
       coalesce(q.ordering, 'strict') AS ordering, coalesce(q.ageing, {ageing}) AS ageing,
       CASE WHEN j.state = {state:waiting} AND j.park IS NULL THEN CASE WHEN j.lane IS NULL
           THEN (SELECT count(*) FROM (
               SELECT FROM {schema}.job a WHERE a.queue = j.queue AND a.runtime = j.runtime AND a.ord < j.ord
               AND a.state = {state:waiting} AND a.park IS NULL AND a.lane IS NULL LIMIT 10000) ahead)
           ELSE (SELECT count(*) FROM (
               SELECT FROM {schema}.job a WHERE a.lane = j.lane AND a.ord < j.ord
               AND a.state = {state:waiting} AND a.park IS NULL AND a.lane IS NOT NULL LIMIT 10000) ahead)
           END END AS line,
       CASE WHEN j.state IN ({any:final}) THEN '{}' WHEN j.state = {state:active} THEN coalesce(j.keys, '{}')
            WHEN j.state = {state:waiting} AND j.park IS NULL AND j.lane IS NOT NULL THEN coalesce(j.keys, '{}') ELSE ARRAY(
                SELECT b.key COLLATE "C" FROM unnest(j.bounds) b
                UNION SELECT g.key FROM {schema}.gate g WHERE g.ruling AND g.key IN ('queue:' || j.queue, 'kind:' || j.kind)
            ) END AS under,
       (SELECT u.holder FROM {schema}.uniq u WHERE u.key = j.unique_ AND u.holder <> j.id) AS unique_holder
FROM {schema}.job j LEFT JOIN {schema}.queue q ON q.name = j.queue WHERE j.id = $1

-- name: holders
SELECT k.key, h.id FROM unnest($1::text[]) k(key) CROSS JOIN LATERAL (
    SELECT j.id FROM {schema}.job j WHERE j.state = {state:active} AND j.keys IS NOT NULL AND k.key = ANY(j.keys) ORDER BY j.id LIMIT $2
) h

-- name: parents
SELECT e.parent, p.state FROM {schema}.edge e JOIN {schema}.job p ON p.id = e.parent WHERE e.child = $1 ORDER BY e.parent
