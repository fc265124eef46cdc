-- Claims where there are lanes: one claim at a time, in rounds. A round wakes lanes, reads the heads of the foremost, decides in memory,
-- and writes what it decided in a few statements, whatever the number of jobs.
-- Input: as `claim.claim`, and how many slots are idle per runtime. Output: the jobs; then a row without a job: whether to ask
--   again at once, and whether these queues have lanes at all.
-- Relies on: `lock_lines`; lower bounds (`lane.rank`) being corrected before anything is decided by them.

-- name: routine
-- The first jobs of a lane that could be claimed, in order.
CREATE OR REPLACE FUNCTION {schema}.heads(of uuid, ageing bigint, at bigint, skip text[], most bigint)
RETURNS TABLE (job text, kind text, ord bigint, aged bigint, costs bigint[]) LANGUAGE sql STABLE AS $$
    SELECT j.id, j.kind, j.ord, j.run_at - j.priority * heads.ageing, j.costs FROM {schema}.job j
    WHERE j.lane = of AND j.state = {state:waiting} AND j.park IS NULL
      AND (j.expires_at IS NULL OR j.expires_at > at OR j.attempt > 0) AND (skip IS NULL OR j.id <> ALL(skip))
    ORDER BY j.ord LIMIT most
$$;

-- Moves as many lanes of these queues as there is room from waiting for an awake key to eligible, the foremost first; how many.
-- `unsure`: the foremost were empty or ranked too low, and the next were not reached.
CREATE OR REPLACE FUNCTION {schema}.wake_lanes(
    names text[], run text, budget bigint, at bigint, OUT moved integer, OUT unsure boolean
) LANGUAGE plpgsql AS $$
DECLARE
    found record; stale boolean := false; ids uuid[] := '{}'; gates text[]; tags bigint[]; rooms bigint[];
BEGIN
    moved := 0; unsure := false;
    IF budget <= 0 OR NOT EXISTS (SELECT FROM {schema}.gate WHERE awake) THEN
        RETURN;
    END IF;
    UPDATE {schema}.gate g SET awake = false, opens_at = {schema}.opens(g, 1, at)
    WHERE g.awake AND EXISTS (SELECT FROM {schema}.room(g, at) r WHERE r.slots < 1 OR r.starts < 1);
    FOR try IN 1..8 LOOP
        stale := false; ids := '{}'; gates := '{}'; tags := '{}'; rooms := '{}';
        FOR found IN
            SELECT w.key, l.id, l.rank, w.room, h.job, CASE coalesce(q.ordering, 'strict')
                WHEN 'strict' THEN h.ord WHEN 'ageing' THEN h.aged ELSE coalesce(t.pass, 0) END AS tag
            FROM (
                SELECT g.key, least(r.slots, r.starts) AS room FROM {schema}.gate g CROSS JOIN LATERAL {schema}.room(g, at) r WHERE g.awake
            ) w CROSS JOIN LATERAL (
                SELECT l.* FROM {schema}.lane l WHERE l.waits_for = w.key AND l.queue = ANY(names) AND l.runtime = run
                    ORDER BY l.rank, l.id LIMIT least(w.room + 16, {needless})
            ) l LEFT JOIN {schema}.queue q ON q.name = l.queue
            LEFT JOIN {schema}.turn t ON t.queue = l.queue AND t.runtime = l.runtime AND t.grp = coalesce(l.grp, '')
            LEFT JOIN LATERAL {schema}.heads(l.id, coalesce(q.ageing, 0), at, NULL, 1) h ON true
            LIMIT 2 * {needless}
        LOOP
            IF found.job IS NULL THEN
                stale := {schema}.leave_lane(found.id) OR stale;
                CONTINUE;
            ELSIF found.tag <> found.rank THEN
                UPDATE {schema}.lane SET rank = found.tag WHERE id = found.id;
                stale := stale OR found.tag > found.rank;
            END IF;
            ids := ids || found.id; gates := gates || found.key; tags := tags || found.tag; rooms := rooms || found.room;
        END LOOP;
        EXIT WHEN NOT stale;
    END LOOP;
    UPDATE {schema}.lane SET waits_for = NULL WHERE id IN (
        SELECT c.id FROM (
            SELECT u.id, u.room, u.tag, row_number() OVER (PARTITION BY u.key ORDER BY u.tag, u.id) AS place
            FROM unnest(ids, gates, tags, rooms) u(id, key, tag, room)
        ) c WHERE c.place <= c.room ORDER BY c.tag LIMIT budget
    );
    GET DIAGNOSTICS moved = ROW_COUNT;
    UPDATE {schema}.gate g SET awake = false
    WHERE g.awake AND NOT EXISTS (SELECT FROM {schema}.lane l WHERE l.waits_for = g.key);
    unsure := stale AND moved = 0;
END $$;

-- A lane without a job that could be claimed goes; if only expired ones stand in it, it goes to the end. Whether it changed.
CREATE OR REPLACE FUNCTION {schema}.leave_lane(of uuid) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM {schema}.lane WHERE id = of AND NOT EXISTS (
        SELECT FROM {schema}.job j WHERE j.lane = of AND j.state = {state:waiting} AND j.park IS NULL
    );
    IF NOT FOUND THEN
        UPDATE {schema}.lane SET rank = {last} WHERE id = of AND rank <> {last};
    END IF;
    RETURN FOUND;
END $$;

-- What a round looks at: the first jobs of the foremost lanes and of the plain line, in the order in which they would be given.
-- `edge`: nothing is known beyond this row. A job deeper than `depth` only tells its lane's next rank.
CREATE OR REPLACE FUNCTION {schema}.prospects(names text[], run text, n bigint, keyless boolean, at bigint, skip text[])
RETURNS TABLE (
    queue text, ordering text, lane uuid, place bigint, grp text, keys text[], job text, kind text, ord bigint, aged bigint, costs bigint[],
    beyond boolean, edge boolean, base bigint, stride bigint
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH q AS MATERIALIZED (
        SELECT w.name, coalesce(q.ordering, 'strict') AS ordering, coalesce(q.ageing, 0) AS ageing, coalesce(p.pass, 0) AS pace
        FROM unnest(names) w(name) LEFT JOIN {schema}.queue q ON q.name = w.name
        LEFT JOIN {schema}.pace p ON p.queue = w.name AND p.runtime = run
    ),
    l AS MATERIALIZED (
        SELECT q.ordering, q.ageing, q.pace, l.*, row_number() OVER (PARTITION BY l.queue ORDER BY l.rank, l.id) AS place
        FROM q CROSS JOIN LATERAL (
            SELECT l.* FROM {schema}.lane l WHERE l.queue = q.name AND l.runtime = run AND l.waits_for IS NULL
            AND (NOT keyless OR l.keys = '{}') ORDER BY l.rank, l.id LIMIT n + 9
        ) l
    ),
    deep AS MATERIALIZED (SELECT greatest(1, least(n, 2 * n / greatest(count(*), 1))) AS n FROM l),
    found AS MATERIALIZED (
        SELECT l.queue, l.ordering, l.pace, l.id AS lane, coalesce(l.grp, '') AS grp, l.keys, h.*,
               row_number() OVER (PARTITION BY l.id ORDER BY h.ord) > (SELECT deep.n FROM deep) AS beyond
        FROM l LEFT JOIN LATERAL {schema}.heads(l.id, l.ageing, at, skip, (SELECT deep.n + 1 FROM deep)) h ON true
        WHERE l.place <= n + 8
        UNION ALL
        SELECT q.name, q.ordering, q.pace, NULL, '', '{}', h.*, row_number() OVER (PARTITION BY q.name ORDER BY h.ord) > n
        FROM q CROSS JOIN LATERAL (
            SELECT j.id, j.kind, j.ord, j.run_at - j.priority * q.ageing, NULL::bigint[] FROM {schema}.job j
            WHERE j.queue = q.name AND j.runtime = run AND j.state = {state:waiting} AND j.park IS NULL AND j.lane IS NULL
              AND (j.expires_at IS NULL OR j.expires_at > at OR j.attempt > 0) AND (skip IS NULL OR j.id <> ALL(skip))
            ORDER BY j.ord LIMIT n + 1
        ) h(job, kind, ord, aged, costs)
    ),
    tagged AS (
        SELECT f.*, greatest(coalesce(t.pass, 0), f.pace) AS base, {turn}::bigint / coalesce(t.weight, 1) AS stride, false AS edge
        FROM found f LEFT JOIN {schema}.turn t ON t.queue = f.queue AND t.runtime = run AND t.grp = f.grp
    ),
    ranked AS (
        SELECT t.queue, t.ordering, t.lane, t.grp, t.keys, t.job, t.kind, t.ord, t.aged, t.costs, t.beyond, t.edge, t.base, t.stride,
               CASE t.ordering WHEN 'strict' THEN t.ord WHEN 'ageing' THEN max(t.aged) OVER (PARTITION BY t.queue, t.lane ORDER BY t.ord)
               ELSE t.base + (row_number() OVER (PARTITION BY t.queue, t.grp ORDER BY t.ord) - 1) * t.stride END AS tag
        FROM tagged t
        UNION ALL
        SELECT l.queue, l.ordering, NULL, NULL, '{}', NULL, NULL, NULL, NULL, NULL, false, true, 0::bigint, 0::bigint,
               CASE WHEN l.ordering IN ('strict', 'ageing') THEN l.rank ELSE greatest(l.rank, l.pace) END
        FROM l WHERE l.place = n + 9
    )
    SELECT r.queue, r.ordering, r.lane, dense_rank() OVER (ORDER BY r.lane), r.grp, r.keys, r.job, r.kind, r.ord, r.aged, r.costs, r.beyond, r.edge,
           r.base, r.stride
    FROM ranked r
    -- Several queues: by the place of the next job of each. The largest place up to here orders as a merge of the heads does.
    ORDER BY CASE WHEN r.job IS NULL AND NOT r.edge THEN {huge}
             ELSE coalesce(max(r.ord) OVER (PARTITION BY r.queue ORDER BY r.tag, r.edge, r.ord ROWS UNBOUNDED PRECEDING), 0) END,
             r.queue, r.tag, r.edge, r.ord;
END $$;

-- One round for one runtime. Output: the jobs given, locked; `missing`: others hold their rows, look again without them; `strays`: jobs
-- that are not in the lane where a newer key wants them; `looked`: lanes looked at in vain; `again`: this was not all.
CREATE OR REPLACE FUNCTION {schema}.serve(
    names text[], run text, n bigint, idle bigint, budget bigint, at bigint, skip text[], hand text, until bigint,
    INOUT token bigint, OUT ids text[], OUT limited bigint, OUT missing text[], OUT strays text[], OUT looked bigint, OUT again boolean
) LANGUAGE plpgsql AS $$
DECLARE
    ruling text[]; c record; room record; p integer; q integer; fits boolean; stop boolean := false; cost bigint; wanted text[];
    l_ids uuid[] := '{}'; l_next bigint[] := '{}'; l_blocks text[] := '{}'; l_got boolean[] := '{}';
    k_keys text[] := '{}'; k_slots bigint[] := '{}'; k_starts bigint[] := '{}'; k_most bigint[] := '{}';
    k_held bigint[] := '{}'; k_spent bigint[] := '{}'; k_lacks bigint[] := '{}';
    g_queues text[] := '{}'; g_grps text[] := '{}'; g_pass bigint[] := '{}'; g_pace bigint[] := '{}';
BEGIN
    ids := '{}'; limited := 0; looked := 0; again := false;
    SELECT array_agg(key) INTO ruling FROM {schema}.gate WHERE gate.ruling;
    FOR c IN SELECT * FROM {schema}.prospects(names, run, n, idle <= 0, at, skip) LOOP
        IF c.edge THEN
            again := again OR NOT stop AND cardinality(ids) < n;
            stop := true;
            CONTINUE;
        END IF;
        WHILE cardinality(l_ids) < c.place LOOP
            l_ids := l_ids || NULL::uuid; l_next := l_next || NULL::bigint; l_blocks := l_blocks || NULL::text; l_got := l_got || false;
        END LOOP;
        l_ids[c.place] := c.lane;
        CONTINUE WHEN c.job IS NULL;
        fits := NOT stop AND cardinality(ids) < n AND l_blocks[c.place] IS NULL AND (c.keys = '{}' OR limited < idle);
        IF fits AND c.beyond THEN
            again := true; stop := true; fits := false;
        END IF;
        IF fits AND ruling IS NOT NULL AND (
            'queue:' || c.queue = ANY(ruling) AND 'queue:' || c.queue <> ALL(c.keys)
            OR 'kind:' || c.kind = ANY(ruling) AND 'kind:' || c.kind <> ALL(c.keys)
        ) THEN
            strays := strays || c.job;
            CONTINUE;
        END IF;
        IF fits AND c.keys <> '{}' THEN
            FOR i IN 1..cardinality(c.keys) LOOP
                p := array_position(k_keys, c.keys[i]);
                IF p IS NULL THEN
                    SELECT r.* INTO room FROM {schema}.gate g CROSS JOIN LATERAL {schema}.room(g, at) r WHERE g.key = c.keys[i];
                    k_keys := k_keys || c.keys[i]; k_slots := k_slots || coalesce(room.slots, {huge});
                    k_starts := k_starts || coalesce(room.starts, {huge}); k_most := k_most || coalesce(room.most, {huge});
                    k_held := k_held || 0::bigint; k_spent := k_spent || 0::bigint; k_lacks := k_lacks || NULL::bigint;
                    p := cardinality(k_keys);
                END IF;
                cost := least(coalesce(c.costs[i], 1), k_most[p]);
                IF k_slots[p] < 1 OR k_starts[p] < cost OR k_most[p] < 1 THEN
                    fits := false;
                    l_blocks[c.place] := c.keys[i];
                    k_lacks[p] := greatest(k_lacks[p], cost);
                    IF NOT l_got[c.place] THEN
                        looked := looked + 1;
                    END IF;
                    EXIT;
                END IF;
            END LOOP;
            IF looked >= budget THEN
                again := true; stop := true;
            END IF;
        END IF;
        IF NOT fits THEN
            IF c.lane IS NOT NULL AND l_next[c.place] IS NULL THEN
                l_next[c.place] := CASE c.ordering WHEN 'strict' THEN c.ord WHEN 'ageing' THEN c.aged ELSE 0 END;
            END IF;
            CONTINUE;
        END IF;
        ids := ids || c.job;
        IF c.keys <> '{}' THEN
            limited := limited + 1;
            FOR i IN 1..cardinality(c.keys) LOOP
                p := array_position(k_keys, c.keys[i]);
                cost := least(coalesce(c.costs[i], 1), k_most[p]);
                k_slots[p] := k_slots[p] - 1; k_starts[p] := k_starts[p] - cost;
                k_held[p] := k_held[p] + 1; k_spent[p] := k_spent[p] + cost;
                IF k_slots[p] < 1 OR k_starts[p] < 1 THEN
                    l_blocks[c.place] := c.keys[i]; -- no need to find that out by another look
                    k_lacks[p] := greatest(k_lacks[p], 1);
                END IF;
            END LOOP;
        END IF;
        l_got[c.place] := true;
        IF c.ordering IN ('fair', 'weighted') THEN
            q := NULL;
            FOR i IN 1..cardinality(g_grps) LOOP
                IF g_grps[i] = c.grp AND g_queues[i] = c.queue THEN
                    q := i;
                    EXIT;
                END IF;
            END LOOP;
            IF q IS NULL THEN
                g_queues := g_queues || c.queue; g_grps := g_grps || c.grp; g_pass := g_pass || c.base; g_pace := g_pace || 0::bigint;
                q := cardinality(g_grps);
            END IF;
            g_pace[q] := g_pass[q];
            g_pass[q] := g_pass[q] + c.stride;
        END IF;
    END LOOP;
    IF cardinality(ids) > 0 THEN
        SELECT array_agg(j.id) INTO wanted FROM (
            SELECT j.id FROM {schema}.job j WHERE j.id = ANY(ids) AND j.state = {state:waiting} AND j.park IS NULL
            ORDER BY j.id FOR UPDATE SKIP LOCKED
        ) j;
        IF wanted IS NULL OR cardinality(wanted) < cardinality(ids) THEN
            SELECT array_agg(i.id) INTO missing FROM unnest(ids) i(id) WHERE wanted IS NULL OR i.id <> ALL(wanted);
            ids := '{}'; limited := 0; again := true;
            RETURN; -- nothing was written yet
        END IF;
        token := coalesce(token, nextval('{schema}.token'));
        WITH given AS (
            UPDATE {schema}.job j SET state = {to:claim}, worker = hand, lease = serve.token, lease_until = until, started_at = at
            WHERE j.id = ANY(ids) RETURNING j.id, j.queue, j.unique_, j.unique_until
        ),
        freed AS (
            DELETE FROM {schema}.uniq u USING given x
            WHERE x.unique_until = 'started' AND u.key = x.unique_ AND u.holder = x.id AND u.mode = 'started'
        )
        INSERT INTO {schema}.delta (queue, state, n)
        SELECT s.queue, v.state, v.sign * s.n FROM (SELECT x.queue, count(*) AS n FROM given x GROUP BY x.queue) s,
        (VALUES ({state:waiting}, -1), ({to:claim}, 1)) v(state, sign);
    END IF;
    IF cardinality(g_grps) > 0 THEN
        PERFORM {schema}.pass_turns(g_queues, run, g_grps, g_pass, g_pace);
    END IF;
    IF cardinality(k_keys) > 0 THEN
        PERFORM {schema}.pass_gates(k_keys, k_held, k_spent, k_lacks, at);
    END IF;
    PERFORM {schema}.pass_lanes(l_ids, l_next, l_blocks);
END $$;

CREATE OR REPLACE FUNCTION {schema}.pass_turns(queues text[], run text, grps text[], passes bigint[], paces bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO {schema}.turn AS t (queue, runtime, grp, pass, weight) SELECT g.queue, run, g.grp, g.pass, 1
    FROM unnest(queues, grps, passes) g(queue, grp, pass) ON CONFLICT (queue, runtime, grp) DO UPDATE SET pass = excluded.pass;
    INSERT INTO {schema}.pace AS p (queue, runtime, pass) SELECT g.queue, run, max(g.pace) FROM unnest(queues, paces) g(queue, pace)
    GROUP BY g.queue ON CONFLICT (queue, runtime) DO UPDATE SET pass = greatest(p.pass, excluded.pass);
END $$;

-- `lacks`: the cost for which a key has no room any more; NULL where there is some.
CREATE OR REPLACE FUNCTION {schema}.pass_gates(keys text[], helds bigint[], spents bigint[], lacks bigint[], at bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM {schema}.spend(false, g.key, g.n, g."window", g.burst, {guard}, k.spent, at)
    FROM unnest(keys, spents) k(key, spent) JOIN {schema}.gate g ON g.key = k.key WHERE g.n IS NOT NULL AND k.spent > 0;
    UPDATE {schema}.gate g SET
        held = g.held + k.held, awake = g.awake AND k.lacks IS NULL,
        opens_at = CASE WHEN k.lacks IS NULL THEN g.opens_at WHEN g.n IS NOT NULL OR g.shut_until > at THEN {schema}.opens(g, k.lacks, at) END
    FROM unnest(keys, helds, lacks) k(key, held, lacks) WHERE g.key = k.key AND (k.held > 0 OR k.lacks IS NOT NULL);
END $$;

-- Lanes that were looked at: those that are empty now go, the others get the rank of their next job, and what they wait for.
CREATE OR REPLACE FUNCTION {schema}.pass_lanes(ids uuid[], nexts bigint[], blocks text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM {schema}.leave_lane(l.id) FROM unnest(ids, nexts) l(id, next) WHERE l.id IS NOT NULL AND l.next IS NULL;
    UPDATE {schema}.lane l SET rank = x.rank, waits_for = x.block
    FROM (
        SELECT i.id, i.block, CASE WHEN coalesce(q.ordering, 'strict') IN ('strict', 'ageing') THEN i.next ELSE coalesce(t.pass, 0) END AS rank
        FROM unnest(ids, nexts, blocks) i(id, next, block) JOIN {schema}.lane o ON o.id = i.id
        LEFT JOIN {schema}.queue q ON q.name = o.queue
        LEFT JOIN {schema}.turn t ON t.queue = o.queue AND t.runtime = o.runtime AND t.grp = coalesce(o.grp, '')
        WHERE i.next IS NOT NULL
    ) x
    WHERE l.id = x.id AND (l.rank <> x.rank OR l.waits_for IS DISTINCT FROM x.block);
END $$;

CREATE OR REPLACE FUNCTION {schema}.claim_lined(
    hand text, life text, nth bigint, lease_for bigint, runs text[], slots integer[], idles integer[], asked text[]
) RETURNS TABLE ({claimed}, ord bigint, at bigint, more boolean, lined boolean, token bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    names text[]; did record; wants bigint; idle bigint; budget bigint; woken bigint; skip text[]; known text[];
    taken text[]; turned boolean; unsure boolean; cut boolean := false;
BEGIN
    PERFORM {schema}.lock_lines();
    at := {schema}.clock();
    IF NOT EXISTS (SELECT FROM {schema}.claimed c WHERE c.session = life AND c.number = nth) THEN
        PERFORM {schema}.hear(at);
        UPDATE {schema}.gate g SET awake = true, opens_at = NULL WHERE g.opens_at <= at;
        SELECT array_agg(w.name) INTO names FROM (
            SELECT q.name FROM {schema}.queue q WHERE asked IS NULL UNION SELECT unnest(asked)
        ) w WHERE NOT EXISTS (SELECT FROM {schema}.queue p WHERE p.name = w.name AND p.paused_at IS NOT NULL);
        FOR r IN 1..coalesce(cardinality(runs), 0) LOOP
            wants := slots[r]; idle := coalesce(idles[r], wants); budget := {needless}; woken := {needless}; skip := NULL;
            FOR round IN 1..100 LOOP
                SELECT * INTO did FROM {schema}.wake_lanes(names, runs[r], woken, at);
                woken := woken - did.moved;
                unsure := did.unsure;
                SELECT * INTO did FROM {schema}.serve(
                    names, runs[r], wants, idle, budget, at, skip, hand, claim_lined.at + lease_for, claim_lined.token
                );
                token := did.token;
                skip := skip || did.missing;
                IF did.strays IS NOT NULL THEN
                    SELECT array_agg(j.id) INTO known FROM (
                        SELECT j.id FROM {schema}.job j WHERE j.id = ANY(did.strays) ORDER BY j.id FOR UPDATE SKIP LOCKED
                    ) j;
                    skip := skip || (SELECT array_agg(s.id) FROM unnest(did.strays) s(id) WHERE known IS NULL OR s.id <> ALL(known));
                    PERFORM {schema}.enter(known, false);
                    PERFORM {schema}.hear(at);
                END IF;
                wants := wants - cardinality(did.ids); idle := idle - did.limited; budget := budget - did.looked;
                taken := taken || did.ids;
                EXIT WHEN wants <= 0;
                IF budget <= 0 OR woken <= 0 THEN
                    cut := true;
                    EXIT;
                END IF;
                CONTINUE WHEN did.again OR did.strays IS NOT NULL;
                IF unsure THEN
                    cut := true;
                    EXIT;
                END IF;
                EXIT WHEN NOT EXISTS (
                    SELECT FROM {schema}.gate g WHERE g.awake AND EXISTS (
                        SELECT FROM {schema}.lane l WHERE l.waits_for = g.key AND l.queue = ANY(names) AND l.runtime = runs[r]
                    )
                ) OR cardinality(did.ids) = 0 AND did.looked = 0;
            END LOOP;
        END LOOP;
        IF token IS NOT NULL THEN
            INSERT INTO {schema}.claimed (session, number, token, at) VALUES (life, nth, claim_lined.token, claim_lined.at);
            PERFORM {schema}.happen({to:claim}, taken, claim_lined.at);
            -- The worker begins them in this order, and what is begun last may be given back.
            turned := EXISTS (
                SELECT FROM {schema}.job j JOIN {schema}.queue q ON q.name = j.queue WHERE j.id = ANY(taken) AND q.ordering <> 'strict'
            );
            RETURN QUERY SELECT {claim}, j.ord, claim_lined.at, false, true, claim_lined.token FROM {schema}.job j
            JOIN unnest(taken) WITH ORDINALITY t(id, place) ON t.id = j.id ORDER BY CASE WHEN turned THEN t.place END, j.ord;
        END IF;
    END IF;
    id := NULL;
    more := cut;
    -- Two questions, so that each begins where its index does: one with OR walks the lanes of all other queues.
    lined := CASE WHEN asked IS NULL THEN EXISTS (SELECT FROM {schema}.lane)
        ELSE EXISTS (SELECT FROM {schema}.lane l WHERE l.queue = ANY(asked)) END OR {schema}.ruled(asked);
    RETURN NEXT;
END $$;

-- Whether some key rules these queues, or some kind.
CREATE OR REPLACE FUNCTION {schema}.ruled(asked text[]) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        SELECT EXISTS (
            SELECT FROM {schema}.gate g
            WHERE g.ruling AND (asked IS NULL OR starts_with(g.key, 'kind:') OR substr(g.key, 7) = ANY(asked))
        )
    );
END $$;

-- name: claim
SELECT * FROM {schema}.claim_lined($1, $2, $3, $4, $5, $6, $7, $8)

-- name: timer_all
SELECT min(g.opens_at) - {schema}.clock() FROM {schema}.gate g
WHERE g.opens_at IS NOT NULL AND EXISTS (SELECT FROM {schema}.lane l WHERE l.waits_for = g.key)

-- name: timer_queues
SELECT min(g.opens_at) - {schema}.clock() FROM {schema}.gate g
WHERE g.opens_at IS NOT NULL AND EXISTS (SELECT FROM {schema}.lane l WHERE l.waits_for = g.key AND l.queue = ANY($1::text[]))
