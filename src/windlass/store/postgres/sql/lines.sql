-- Lanes, keys and their room: what `docs/design/limits.md` says, as functions in the schema.
-- Input: job ids; instants. Output: what a claim needs to know.
-- Relies on: `lock_lines`, taken first by whoever changes lanes, gates, turns or the logs of starts, and on each statement after
--   it seeing what was committed before it began. `enter` and `give_back` only insert, so they need no lock.

-- name: routine
CREATE OR REPLACE FUNCTION {schema}.lock_lines() RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtextextended('windlass lines {plain_schema}', 0))
$$;

-- The group of a job in a queue of that order. The first letter keeps the groups of one order apart from another's.
CREATE OR REPLACE FUNCTION {schema}.group_of(ordering text, group_ text, user_ text, priority integer) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE ordering
        WHEN 'fair' THEN 'g' || coalesce(nullif(group_, ''), nullif(user_, ''))
        WHEN 'weighted' THEN CASE WHEN priority < 0 THEN 'clow' WHEN priority < 5 THEN 'cnormal' WHEN priority < 10 THEN 'chigh'
                             ELSE 'ccritical' END
        WHEN 'ageing' THEN 'p' || priority::text
    END
$$;

-- What is left of a key: slots, starts, and the largest cost; huge where there is no limit.
CREATE OR REPLACE FUNCTION {schema}.room(g {schema}.gate, at bigint, OUT slots bigint, OUT starts bigint, OUT most bigint)
LANGUAGE plpgsql AS $$
BEGIN
    slots := CASE WHEN g.shut_until > at THEN 0
        ELSE least(coalesce(g.concurrency, {huge}), CASE WHEN g.shut_until IS NOT NULL THEN g.trial END) - g.held END;
    starts := {huge};
    most := {huge};
    IF g.n IS NOT NULL THEN
        starts := {schema}.rate_left(false, g.key, g.n, g."window", g.burst, {guard}, at);
        most := coalesce(g.burst, g.n);
    END IF;
END $$;

-- A bucket's level in tokens times the window; a new one is full.
CREATE OR REPLACE FUNCTION {schema}.level(by_take boolean, of text, n bigint, span bigint, burst bigint, at bigint) RETURNS numeric
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        SELECT coalesce(
            (SELECT least(b.level * level.span / b.span + greatest(level.at - b.at, 0)::numeric * n, burst::numeric * level.span)
             FROM {schema}.bucket b WHERE b.taken = by_take AND b.key = of),
            burst::numeric * level.span
        )
    );
END $$;

CREATE OR REPLACE FUNCTION {schema}.rate_left(
    by_take boolean, of text, n bigint, span bigint, burst bigint, guard bigint, at bigint
) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        SELECT CASE WHEN burst IS NOT NULL THEN floor({schema}.level(by_take, of, n, span, burst, at) / span)::bigint
            ELSE n - coalesce((
                SELECT sum(s.cost) FROM {schema}.spent s WHERE s.taken = by_take AND s.key = of AND s.at > rate_left.at - span - guard
            ), 0)::bigint END
    );
END $$;

-- When a rate has room for a cost; NULL if it has.
CREATE OR REPLACE FUNCTION {schema}.rate_opens(
    by_take boolean, of text, n bigint, span bigint, burst bigint, guard bigint, cost bigint, at bigint
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    lacks bigint;
BEGIN
    cost := least(cost, coalesce(burst, n));
    lacks := cost - {schema}.rate_left(by_take, of, n, span, burst, guard, at);
    IF lacks <= 0 THEN
        RETURN NULL;
    ELSIF burst IS NOT NULL THEN
        RETURN at + ceil((cost::numeric * span - {schema}.level(by_take, of, n, span, burst, at)) / n)::bigint;
    END IF;
    RETURN (
        SELECT min(c.at) + span + guard FROM (
            SELECT s.at, sum(s.cost) OVER (ORDER BY s.at) AS freed FROM {schema}.spent s
            WHERE s.taken = by_take AND s.key = of AND s.at > rate_opens.at - span - guard
        ) c WHERE c.freed >= lacks
    );
END $$;

-- When a key lets a job of that cost start as far as time decides; NULL if time does not hinder it.
CREATE OR REPLACE FUNCTION {schema}.opens(g {schema}.gate, cost bigint, at bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        SELECT greatest(
            CASE WHEN g.shut_until > at THEN g.shut_until END,
            CASE WHEN g.n IS NOT NULL THEN {schema}.rate_opens(false, g.key, g.n, g."window", g.burst, {guard}, cost, at) END
        )
    );
END $$;

-- Writes uses of rates: one entry a key and call, of large windows rounded up to a step.
CREATE OR REPLACE FUNCTION {schema}.spend(
    by_take boolean, of text, n bigint, span bigint, burst bigint, guard bigint, cost bigint, at bigint
) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stamp bigint := at;
BEGIN
    IF burst IS NOT NULL THEN
        INSERT INTO {schema}.bucket AS b (taken, key, level, span, at, until)
        VALUES (by_take, of, {schema}.level(by_take, of, n, span, burst, at) - cost::numeric * span, span, at,
                at + ceil(burst::numeric * span / greatest(n, 1))::bigint)
        ON CONFLICT (taken, key) DO UPDATE SET
            level = excluded.level, span = excluded.span, at = greatest(b.at, excluded.at), until = excluded.until;
        RETURN;
    END IF;
    IF n > {exact} AND span >= {buckets} THEN
        stamp := at + (span / {buckets} - at % (span / {buckets})) % (span / {buckets});
    END IF;
    DELETE FROM {schema}.spent s WHERE s.taken = by_take AND s.key = of AND s.at <= spend.at - span - guard;
    INSERT INTO {schema}.spent AS s (taken, key, at, cost, until) VALUES (by_take, of, stamp, spend.cost, stamp + span + guard)
    ON CONFLICT (taken, key, at) DO UPDATE SET cost = s.cost + excluded.cost, until = excluded.until;
END $$;

-- Where a job belongs: its lane (NULL: the plain line), its keys in order, and their costs where one is not 1. Bounds are kept in the
-- order of keys, so that without a ruling key nothing has to be asked or sorted.
CREATE OR REPLACE FUNCTION {schema}.lane_of(
    ruling text[], queue text, runtime text, kind text, grp text, bounds {schema}.bound[], OUT lane uuid, OUT keys text[], OUT costs bigint[]
) LANGUAGE plpgsql AS $$
DECLARE
    b {schema}.bound; even boolean := true;
BEGIN
    IF bounds IS NOT NULL THEN
        FOREACH b IN ARRAY bounds LOOP
            keys := keys || b.key;
            costs := costs || b.cost;
            even := even AND b.cost = 1;
        END LOOP;
    END IF;
    IF 'queue:' || queue = ANY(ruling) OR 'kind:' || kind = ANY(ruling) THEN
        SELECT array_agg(k.key ORDER BY k.key), array_agg(k.cost ORDER BY k.key) INTO keys, costs FROM (
            SELECT o.key COLLATE "C" AS key, max(o.cost) AS cost FROM (
                SELECT * FROM unnest(keys, costs) UNION ALL SELECT r, 1 FROM unnest(ruling) r WHERE r IN ('queue:' || queue, 'kind:' || kind)
            ) o(key, cost) GROUP BY 1
        ) k;
    END IF;
    IF even THEN
        costs := NULL;
    END IF;
    IF grp IS NOT NULL OR keys IS NOT NULL THEN
        lane := md5(ROW(queue, runtime, grp, keys)::text)::uuid;
    END IF;
END $$;

CREATE OR REPLACE FUNCTION {schema}.ruling_keys() RETURNS text[] LANGUAGE sql STABLE AS $$
    SELECT array_agg(key) FROM {schema}.gate WHERE ruling
$$;

-- Puts jobs that have become waiting, in rows that the caller wrote, into their lanes; claims hear of it by the news.
CREATE OR REPLACE FUNCTION {schema}.enter(ids text[], fresh boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    ruling text[] := {schema}.ruling_keys();
BEGIN
    UPDATE {schema}.job j SET lane = x.lane, keys = x.keys, costs = x.costs FROM (
        SELECT o.id, p.lane, p.keys, p.costs
        FROM (SELECT * FROM {schema}.job WHERE id = ANY(ids) OFFSET 0) o LEFT JOIN {schema}.queue q ON q.name = o.queue
        CROSS JOIN LATERAL {schema}.lane_of(
            ruling, o.queue, o.runtime, o.kind, {schema}.group_of(q.ordering, o.group_, o.user_, o.priority), o.bounds
        ) p WHERE o.state = {state:waiting} AND o.park IS NULL
    ) x WHERE j.id = x.id AND (j.lane IS DISTINCT FROM x.lane OR j.costs IS DISTINCT FROM x.costs);
    PERFORM {schema}.tell_lanes(ids, fresh);
END $$;

-- The news of waiting jobs that know their lanes.
CREATE OR REPLACE FUNCTION {schema}.tell_lanes(ids text[], fresh boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO {schema}.news (lane, queue, runtime, grp, keys, weight, ord, aged, bounds, fresh)
    SELECT p.lane, p.queue, p.runtime, p.grp, coalesce(p.keys, '{}'),
           CASE p.ordering WHEN 'fair' THEN (array_agg(coalesce(p.weight, 1) ORDER BY p.ord DESC))[1]
                           WHEN 'weighted' THEN CASE p.grp WHEN 'clow' THEN {low} WHEN 'cnormal' THEN {normal}
                                                WHEN 'chigh' THEN {high} ELSE {critical} END END,
           min(p.ord), min(p.run_at - p.priority * coalesce(p.ageing, 0)),
           (array_agg(p.bounds::text ORDER BY p.id DESC))[1]::{schema}.bound[], tell_lanes.fresh
    FROM (
        SELECT j.*, q.ordering, q.ageing, {schema}.group_of(q.ordering, j.group_, j.user_, j.priority) AS grp
        FROM (SELECT * FROM {schema}.job WHERE id = ANY(ids) OFFSET 0) j LEFT JOIN {schema}.queue q ON q.name = j.queue
        WHERE j.lane IS NOT NULL AND j.state = {state:waiting} AND j.park IS NULL
    ) p GROUP BY p.lane, p.queue, p.runtime, p.grp, p.keys, p.ordering ORDER BY max(p.id);
END $$;

-- The same for jobs of which most are in the plain line.
CREATE OR REPLACE FUNCTION {schema}.enter_any(ids text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF {ruled} OR EXISTS (SELECT FROM {schema}.job j WHERE j.id = ANY(ids) AND (j.bounds IS NOT NULL OR j.lane IS NOT NULL)) THEN
        PERFORM {schema}.enter(ids, false);
    END IF;
END $$;

-- The slots of these jobs, whose attempts have just ended, come back.
CREATE OR REPLACE FUNCTION {schema}.give_back(ids text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO {schema}.freed (key, n)
    SELECT k.key, count(*) FROM {schema}.job j CROSS JOIN LATERAL unnest(j.keys) k(key) WHERE j.id = ANY(ids) GROUP BY k.key;
END $$;

-- Takes in what was only told so far. Under the lock.
CREATE OR REPLACE FUNCTION {schema}.hear(at bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    came {schema}.news[];
BEGIN
    WITH gone AS (DELETE FROM {schema}.freed RETURNING key, n)
    UPDATE {schema}.gate g SET
        held = g.held - s.n, awake = g.awake OR EXISTS (SELECT FROM {schema}.lane l WHERE l.waits_for = g.key)
    FROM (SELECT key, sum(n) AS n FROM gone GROUP BY key) s WHERE g.key = s.key;
    WITH gone AS (DELETE FROM {schema}.news w RETURNING w AS it)
    SELECT array_agg(it ORDER BY (it).n) INTO came FROM gone;
    IF came IS NULL THEN
        RETURN;
    END IF;
    PERFORM {schema}.hear_bounds(came, at) FROM unnest(came) c WHERE c.bounds IS NOT NULL LIMIT 1;
    -- A queue that only a user's transaction has used so far is not registered yet.
    INSERT INTO {schema}.queue (name) SELECT DISTINCT c.queue FROM unnest(came) c
    WHERE c.queue IS NOT NULL AND NOT EXISTS (SELECT FROM {schema}.queue q WHERE q.name = c.queue) ORDER BY 1 ON CONFLICT DO NOTHING;
    INSERT INTO {schema}.turn AS t (queue, runtime, grp, pass, weight)
    SELECT DISTINCT ON (c.queue, c.runtime, c.grp) c.queue, c.runtime, c.grp, coalesce(p.pass, 0), c.weight
    FROM unnest(came) c LEFT JOIN {schema}.pace p ON p.queue = c.queue AND p.runtime = c.runtime
    WHERE c.grp IS NOT NULL AND c.weight IS NOT NULL ORDER BY c.queue, c.runtime, c.grp, c.n DESC
    ON CONFLICT (queue, runtime, grp) DO UPDATE SET weight = excluded.weight WHERE t.weight <> excluded.weight;
    INSERT INTO {schema}.lane AS l (id, queue, runtime, grp, keys, rank)
    SELECT c.lane, c.queue, c.runtime, c.grp, c.keys,
           CASE coalesce(q.ordering, 'strict') WHEN 'strict' THEN c.ord WHEN 'ageing' THEN c.aged ELSE coalesce(t.pass, 0) END
    FROM (
        SELECT c.lane, c.queue, c.runtime, c.grp, c.keys, min(c.ord) AS ord, min(c.aged) AS aged
        FROM unnest(came) c WHERE c.lane IS NOT NULL GROUP BY 1, 2, 3, 4, 5
    ) c LEFT JOIN {schema}.queue q ON q.name = c.queue
    LEFT JOIN {schema}.turn t ON t.queue = c.queue AND t.runtime = c.runtime AND t.grp = coalesce(c.grp, '')
    ON CONFLICT (id) DO UPDATE SET rank = excluded.rank WHERE l.rank > excluded.rank;
END $$;

-- Keys that jobs name: missing ones are made, and what an enqueue says about one that is not pinned holds from now on.
CREATE OR REPLACE FUNCTION {schema}.hear_bounds(came {schema}.news[], at bigint) RETURNS void LANGUAGE plpgsql
-- The arrays of a whole call meet each other: planned as in `enqueue`.
SET enable_hashjoin = on SET enable_mergejoin = on AS $$
BEGIN
    PERFORM 1 FROM unnest(came) c CROSS JOIN LATERAL unnest(c.bounds) b
    WHERE NOT EXISTS (SELECT FROM {schema}.gate g WHERE g.key = b.key) LIMIT 1;
    IF FOUND THEN
        PERFORM {schema}.make_gates(came, at);
    END IF;
    UPDATE {schema}.gate g SET
        concurrency = b.concurrency, n = b.n, "window" = b."window", burst = b.burst, changed_at = at,
        awake = EXISTS (SELECT FROM {schema}.lane l WHERE l.waits_for = g.key), opens_at = NULL
    FROM (
        SELECT DISTINCT ON (b.key) b.* FROM unnest(came) c CROSS JOIN LATERAL unnest(c.bounds) b
        WHERE c.fresh ORDER BY b.key, c.n DESC
    ) b
    WHERE g.key = b.key AND NOT g.pinned
      AND (g.concurrency, g.n, g."window", g.burst) IS DISTINCT FROM (b.concurrency, b.n, b."window", b.burst);
END $$;

-- Holders as `holding` counts them, for all missing keys in one look at the active jobs.
CREATE OR REPLACE FUNCTION {schema}.make_gates(came {schema}.news[], at bigint) RETURNS void LANGUAGE plpgsql
SET enable_hashjoin = on SET enable_mergejoin = on AS $$
BEGIN
    INSERT INTO {schema}.gate (key, concurrency, n, "window", burst, held, changed_at)
    SELECT b.key, b.concurrency, b.n, b."window", b.burst, coalesce(h.n, 0), at FROM (
        SELECT DISTINCT ON (b.key) b.* FROM unnest(came) c CROSS JOIN LATERAL unnest(c.bounds) b ORDER BY b.key, c.n DESC
    ) b LEFT JOIN (
        SELECT o.key, sum(o.n) AS n FROM (
            SELECT k.key, 1 AS n FROM {schema}.job j CROSS JOIN LATERAL unnest(j.keys) k(key) WHERE j.keys IS NOT NULL AND j.state = {state:active}
            UNION ALL SELECT f.key, f.n FROM {schema}.freed f
        ) o GROUP BY o.key
    ) h ON h.key = b.key WHERE NOT EXISTS (SELECT FROM {schema}.gate g WHERE g.key = b.key);
END $$;

-- How many jobs hold a key, with those whose end is told and not yet heard: they are counted down when it is.
CREATE OR REPLACE FUNCTION {schema}.holding(of text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        SELECT (SELECT count(*) FROM {schema}.job j WHERE j.state = {state:active} AND j.keys IS NOT NULL AND of = ANY(j.keys))
             + (SELECT coalesce(sum(f.n), 0) FROM {schema}.freed f WHERE f.key = of)
    );
END $$;
