-- Stores jobs: one call of one function, from our own connections and, inside a user's transaction, from theirs.
-- Input: an array per column; an array of one element stands for the same value in every row, NULL for NULL in every row.
--   `keys` to `conflicts`: unique keys by row. `children`, `parents`, `policies`: edges. `a_...`: stored jobs that shall
--   wait for new ones too. `channel`: set inside a user's transaction.
--   `careful`: look for ids that are stored already; needed with keys and edges. Without it a known id is a unique violation,
--   which costs the bulk road nothing (ON CONFLICT DO NOTHING confirms every row in the log: 48 bytes a job).
-- Output: rows only for what is not plainly created: (row number, id, outcome): held, unknown (a parent), busy (a key).
-- Relies on: `hold_keys` before any other write, so that `unknown` and `busy` leave nothing behind.

-- name: routine
-- Takes unique keys, or tells who holds them. Waits at most two seconds for another open transaction that took one.
CREATE OR REPLACE FUNCTION {schema}.hold_keys(
    keys text[], ids text[], modes text[], ttls bigint[], at bigint, OUT held_keys text[], OUT holders text[]
) LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
BEGIN
    DELETE FROM {schema}.uniq u WHERE u.key = ANY(keys) AND u.until <= at;
    FOR try IN 1..20 LOOP
        INSERT INTO {schema}.uniq (key, holder, mode, until)
        SELECT k.key, k.id, k.mode, CASE WHEN k.mode = 'period' THEN at + k.ttl END
        FROM unnest(keys, ids, modes, ttls) k(key, id, mode, ttl) ORDER BY k.key
        ON CONFLICT (key) DO NOTHING;
        -- A plain read: a lock on another's key inside a user's transaction would hold up that job's finish.
        SELECT array_agg(u.key), array_agg(u.holder) INTO held_keys, holders FROM {schema}.uniq u WHERE u.key = ANY(keys);
        EXIT WHEN cardinality(held_keys) = cardinality(keys);
    END LOOP;
END $$;

-- For keys whose holder has started: who follows it, once more after it. The first of the call that asks, if nobody does yet.
CREATE OR REPLACE FUNCTION {schema}.follow_holders(
    held_keys text[], holders text[], ids text[], keys text[], conflicts text[], answers text[], skips boolean[], locked boolean
) RETURNS TABLE (key text, job text, holder text) LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
#variable_conflict use_column
DECLARE
    item record; stood record;
BEGIN
    FOR item IN
        SELECT DISTINCT ON (r.key) r.key, r.id, h.holder
        FROM unnest(ids, keys, conflicts, answers, skips) WITH ORDINALITY r(id, key, conflict, answer, skip, n)
        JOIN unnest(held_keys, holders) h(key, holder) ON h.key = r.key
        WHERE r.conflict = 'rerun' AND r.answer IS NULL AND NOT r.skip AND h.holder <> r.id ORDER BY r.key, r.n
    LOOP
        IF locked THEN
            -- Its end comes before this or sees the follower. Inside a user's transaction it must not wait: `follow` mends that.
            PERFORM 1 FROM {schema}.job j WHERE j.id = item.holder FOR UPDATE;
        END IF;
        SELECT j.state, j.signal INTO stood FROM {schema}.job j WHERE j.id = item.holder;
        IF stood.state IN ({state:active}, {state:retrying}) OR stood.state = {to:suspend} AND stood.signal IS NOT NULL THEN
            INSERT INTO {schema}.follower (key, job) VALUES (item.key, item.id) ON CONFLICT DO NOTHING;
            RETURN QUERY SELECT f.key, f.job, item.holder FROM {schema}.follower f WHERE f.key = item.key;
        END IF;
    END LOOP;
END $$;

-- The general road: what is known already, who holds the keys, which parents are open.
CREATE OR REPLACE FUNCTION {schema}.enqueue(
    ids text[], kinds text[], queues text[], runtimes text[], argss text[], priorities integer[], attempts integer[],
    delays bigint[], run_ats bigint[], expires_ins bigint[], expires_ats bigint[], optionss text[], users text[],
    projects text[], groups text[], workflows text[], names text[], tagss text[],
    keys text[], modes text[], ttls bigint[], conflicts text[],
    children text[], parents text[], policies text[], a_parents text[], a_children text[], a_policies text[], latests bigint[], answers text[],
    b_rows integer[], b_keys text[], b_slots bigint[], b_ns bigint[], b_windows bigint[], b_bursts bigint[], b_costs bigint[], weights integer[],
    careful boolean, channel text
) RETURNS TABLE (n integer, id text, outcome text) LANGUAGE plpgsql
-- Our connections allow nested loops only, in plans made once, which is right for a few rows of `job`. Here the arrays of a whole
-- call meet each other: 10,000 jobs with edges took 52 s. Large calls are planned by their size, until the function ends.
SET enable_hashjoin = on SET enable_mergejoin = on SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    at bigint := {schema}.clock();
    skips boolean[]; waitss integer[]; dooms text[]; whys text[]; needed boolean[]; parentss text[];
    f_keys text[]; f_jobs text[]; f_holders text[];
    k_keys text[]; k_ids text[]; k_modes text[]; k_ttls bigint[]; held_keys text[]; holders text[];
    lost_n integer[]; lost_ids text[]; lost_holders text[];
    e_children text[]; e_parents text[]; e_policies text[]; e_states text[]; outer_parents text[]; gone text[];
    causers text[]; followers text[]; extras {schema}.extra[]; lined boolean; ruling text[]; came boolean; item record;
BEGIN
    IF cardinality(ids) > 100 THEN
        PERFORM set_config('plan_cache_mode', 'force_custom_plan', true);
    END IF;
    IF careful THEN
        -- Rows that are repeats: stored before, or named before in this call.
        SELECT array_agg(s.again ORDER BY s.n) INTO skips FROM (
            SELECT r.n, j.id IS NOT NULL OR row_number() OVER (PARTITION BY r.id ORDER BY r.n) > 1 AS again
            FROM unnest(ids) WITH ORDINALITY r(id, n) LEFT JOIN {schema}.job j ON j.id = r.id
        ) s;
        -- A repeat needs no parents: they may have been deleted since.
        SELECT e.parent AS id INTO item FROM unnest(children, parents) e(child, parent)
        JOIN unnest(ids, skips) r(id, skip) ON r.id = e.child AND NOT r.skip
        WHERE e.parent NOT IN (SELECT unnest(ids)) AND NOT EXISTS (SELECT FROM {schema}.job j WHERE j.id = e.parent) LIMIT 1;
        IF FOUND THEN
            RETURN QUERY SELECT 0, item.id, 'unknown'::text;
            RETURN;
        END IF;
    END IF;
    IF keys IS NOT NULL THEN
        SELECT array_agg(c.key), array_agg(c.id), array_agg(c.mode), array_agg(c.ttl)
        INTO k_keys, k_ids, k_modes, k_ttls FROM (
            SELECT DISTINCT ON (r.key) r.key, r.id, r.mode, r.ttl
            FROM unnest(ids, keys, modes, ttls, skips) WITH ORDINALITY r(id, key, mode, ttl, skip, n)
            WHERE r.key IS NOT NULL AND NOT r.skip ORDER BY r.key, r.n
        ) c;
        IF k_keys IS NOT NULL THEN
            BEGIN
                SELECT h.held_keys, h.holders INTO held_keys, holders FROM {schema}.hold_keys(k_keys, k_ids, k_modes, k_ttls, at) h;
                IF 'rerun' = ANY(conflicts) THEN
                    SELECT array_agg(f.key), array_agg(f.job), array_agg(f.holder)
                    INTO f_keys, f_jobs, f_holders
                    FROM {schema}.follow_holders(held_keys, holders, ids, keys, conflicts, answers, skips, channel IS NULL) f;
                END IF;
            EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
                IF SQLSTATE = '40P01' AND channel IS NULL THEN
                    RAISE; -- our own statement: the caller makes it again
                END IF;
                RETURN QUERY SELECT 0, k_keys[1], 'busy'::text;
                RETURN;
            END;
        END IF;
        SELECT array_agg(r.n ORDER BY r.n), array_agg(r.id ORDER BY r.n), array_agg(h.holder ORDER BY r.n)
        INTO lost_n, lost_ids, lost_holders
        FROM unnest(ids, keys, skips, conflicts, answers) WITH ORDINALITY r(id, key, skip, conflict, answer, n)
        LEFT JOIN unnest(f_keys, f_jobs) f(key, holder) ON f.key = r.key AND r.conflict = 'rerun' AND r.answer IS NULL
        JOIN unnest(held_keys, holders) w(key, holder) ON w.key = r.key
        CROSS JOIN LATERAL (SELECT coalesce(f.holder, w.holder) AS holder) h WHERE NOT r.skip AND h.holder <> r.id;
        SELECT array_agg(r.skip OR l.n IS NOT NULL ORDER BY r.n) INTO skips
        FROM unnest(skips) WITH ORDINALITY r(skip, n) LEFT JOIN unnest(lost_n) l(n) ON l.n = r.n;
    END IF;
    IF f_jobs && ids THEN
        -- Followers of this call wait for the holders of their keys.
        SELECT children || array_agg(f.job), parents || array_agg(f.holder), policies || array_agg('run'::text), array_agg(f.job)
        INTO children, parents, policies, followers
        FROM unnest(f_jobs, f_holders) f(job, holder) JOIN unnest(ids, skips) r(id, skip) ON r.id = f.job AND NOT r.skip;
    END IF;
    IF answers IS NOT NULL AND children IS NOT NULL THEN
        SELECT array_agg(e.child ORDER BY e.n), array_agg(e.parent ORDER BY e.n), array_agg(e.policy ORDER BY e.n)
        INTO children, parents, policies
        FROM unnest(children, parents, policies) WITH ORDINALITY e(child, parent, policy, n)
        WHERE e.child NOT IN (SELECT r.id FROM unnest(ids, answers) r(id, answer) WHERE r.answer IS NOT NULL);
    END IF;
    IF children IS NOT NULL THEN
        -- A parent that is a duplicate stands for its holder; a parent named twice counts once.
        SELECT array_agg(e.child ORDER BY e.n), array_agg(e.parent ORDER BY e.n), array_agg(e.policy ORDER BY e.n)
        INTO e_children, e_parents, e_policies FROM (
            SELECT DISTINCT ON (e.child, coalesce(l.holder, e.parent)) e.n, e.child, coalesce(l.holder, e.parent) AS parent, e.policy
            FROM unnest(children, parents, policies) WITH ORDINALITY e(child, parent, policy, n)
            JOIN unnest(ids, skips) r(id, skip) ON r.id = e.child AND NOT r.skip
            LEFT JOIN unnest(lost_ids, lost_holders) l(id, holder) ON l.id = e.parent
            ORDER BY e.child, coalesce(l.holder, e.parent), e.n
        ) e;
        SELECT array_agg(DISTINCT p.id ORDER BY p.id) INTO outer_parents FROM unnest(e_parents) p(id)
        WHERE p.id NOT IN (SELECT r.id FROM unnest(ids, skips) r(id, skip) WHERE NOT r.skip);
        IF channel IS NULL THEN
            PERFORM 1 FROM {schema}.job j WHERE j.id = ANY(outer_parents) ORDER BY j.id FOR UPDATE;
            UPDATE {schema}.job j SET dependents = true
            WHERE j.id = ANY(outer_parents) AND NOT dependents AND state <> {state:completed};
        ELSE
            -- No lock on a parent inside a user's transaction: its finish would wait. `settle` looks again after the commit.
            INSERT INTO {schema}.settle (parent) SELECT unnest(outer_parents);
        END IF;
        SELECT array_agg(CASE WHEN i.known THEN {to:answer} WHEN i.id IS NOT NULL THEN {state:blocked}
                              ELSE coalesce(j.state, {state:cancelled}) END ORDER BY e.n)
        INTO e_states FROM unnest(e_parents) WITH ORDINALITY e(parent, n)
        LEFT JOIN (
            SELECT DISTINCT ON (r.id) r.id, r.answer IS NOT NULL AS known FROM unnest(ids, skips, answers) r(id, skip, answer)
            WHERE NOT r.skip ORDER BY r.id
        ) i ON i.id = e.parent
        LEFT JOIN {schema}.job j ON j.id = e.parent AND i.id IS NULL;
        SELECT array_agg(coalesce(e.waits, 0) ORDER BY r.n), array_agg(e.doom ORDER BY r.n), array_agg(e.why ORDER BY r.n),
               array_agg(e.causer ORDER BY r.n), array_agg(e.parents ORDER BY r.n)
        INTO waitss, dooms, whys, causers, parentss
        FROM unnest(ids) WITH ORDINALITY r(id, n)
        LEFT JOIN (
            SELECT e.child, to_json(array_agg(e.parent ORDER BY e.n))::text AS parents,
                   -- The first parent that ended badly releases a job whose edges are triggers.
                   CASE WHEN bool_or(policy = 'trigger' AND bad) THEN 0
                        ELSE count(*) FILTER (WHERE live OR bad AND policy = 'hold') END AS waits,
                   CASE WHEN bool_and(policy = 'trigger' AND state = {state:completed}) THEN 'cancel'
                        ELSE (array_agg(policy ORDER BY e.n) FILTER (WHERE bad AND policy IN ('cancel', 'fail')))[1] END AS doom,
                   CASE WHEN bool_and(policy = 'trigger' AND state = {state:completed}) THEN '{not_triggered}'
                        ELSE (array_agg('parent ' || e.parent || ' ' || state ORDER BY e.n)
                              FILTER (WHERE bad AND policy IN ('cancel', 'fail')))[1] END AS why,
                   (array_agg(e.parent ORDER BY e.n) FILTER (WHERE bad AND policy IN ('cancel', 'fail')))[1] AS causer
            FROM (
                SELECT e.*, state IN ({any:live}) AS live, state NOT IN ({any:live}, {state:completed}) AS bad
                FROM unnest(e_children, e_parents, e_policies, e_states) WITH ORDINALITY e(child, parent, policy, state, n)
            ) e GROUP BY e.child
        ) e ON e.child = r.id;
    END IF;
    IF children IS NOT NULL OR a_parents IS NOT NULL THEN
        SELECT array_agg(d.id IS NOT NULL ORDER BY r.n) INTO needed FROM unnest(ids) WITH ORDINALITY r(id, n)
        LEFT JOIN (SELECT unnest(e_parents) AS id UNION SELECT unnest(a_parents)) d ON d.id = r.id;
    END IF;
    ruling := {schema}.ruling_keys();
    lined := b_rows IS NOT NULL OR ruling IS NOT NULL
        OR EXISTS (SELECT FROM {schema}.queue q WHERE q.ordering <> 'strict' AND q.name = ANY(queues));
    IF lined OR answers IS NOT NULL OR weights IS NOT NULL THEN
        SELECT array_agg(ROW(b.bounds, coalesce(r.weight, weights[1]), r.answer, p.lane, p.keys, p.costs)::{schema}.extra ORDER BY r.n)
        INTO extras
        FROM unnest(ids, kinds, queues, runtimes, groups, users, priorities, answers, weights)
            WITH ORDINALITY r(id, kind, queue, runtime, group_, user_, priority, answer, weight, n)
        LEFT JOIN (
            SELECT b.n, array_agg(ROW(b.key, b.slots, b.rate, b.span, b.burst, b.cost)::{schema}.bound ORDER BY b.key COLLATE "C") AS bounds
            FROM unnest(b_rows, b_keys, b_slots, b_ns, b_windows, b_bursts, b_costs) b(n, key, slots, rate, span, burst, cost) GROUP BY b.n
        ) b ON b.n = r.n
        LEFT JOIN {schema}.queue q ON q.name = coalesce(r.queue, queues[1])
        LEFT JOIN LATERAL {schema}.lane_of(
            ruling, coalesce(r.queue, queues[1]), coalesce(r.runtime, runtimes[1]), coalesce(r.kind, kinds[1]),
            {schema}.group_of(q.ordering, r.group_, r.user_, coalesce(r.priority, priorities[1])), b.bounds
        ) p ON lined;
    END IF;
    WITH made AS (
        INSERT INTO {schema}.job (
            id, created_at, expires_at, dependents, kind, runtime, queue, user_, project, group_, workflow, name, unique_,
            unique_until, parents, options, tags, args, max_attempts, priority, waits, attempt, rescues, ord, run_at,
            finished_at, state, reason, bounds, weight, result, lane, keys, costs
        )
        SELECT r.id, at, coalesce(r.expires_at, at + r.expires_in), coalesce(r.needed, false), coalesce(r.kind, kinds[1]),
               coalesce(r.runtime, runtimes[1]), coalesce(r.queue, queues[1]), r.user_, r.project, r.group_, r.workflow, r.name,
               r.key, r.mode, r.parents, coalesce(r.options, optionss[1]), r.tags, coalesce(r.args, argss[1]),
               coalesce(r.max_attempts, attempts[1]), coalesce(r.priority, priorities[1]),
               CASE WHEN r.doom IS NULL THEN coalesce(r.waits, 0) ELSE 0 END, 0, 0,
               {schema}.place(coalesce(r.priority, priorities[1]), nextval('{schema}.seq')),
               CASE WHEN r.answer IS NULL THEN greatest(at, coalesce(r.run_at, at + r.delay)) ELSE at END,
               CASE WHEN r.doom IS NOT NULL OR r.answer IS NOT NULL THEN at END,
               CASE WHEN r.answer IS NOT NULL THEN {to:answer}
                    WHEN r.doom = 'cancel' THEN {to:doom} WHEN r.doom = 'fail' THEN {to:fail}
                    WHEN r.waits > 0 THEN {state:blocked} WHEN coalesce(r.run_at, at + r.delay) > at THEN {state:delayed}
                    ELSE {state:waiting} END, r.why,
               r.bounds, r.weight, r.answer, r.lane, r.keys, r.costs
        FROM unnest(
            ids, kinds, queues, runtimes, argss, priorities, attempts, delays, run_ats, expires_ins, expires_ats, optionss,
            users, projects, groups, workflows, names, tagss, keys, modes, skips, waitss, dooms, whys, needed, parentss,
            extras
        ) AS r(
            id, kind, queue, runtime, args, priority, max_attempts, delay, run_at, expires_in, expires_at, options,
            user_, project, group_, workflow, name, tags, key, mode, skip, waits, doom, why, needed, parents,
            bounds, weight, answer, lane, keys, costs
        )
        WHERE r.skip IS NOT TRUE
        RETURNING queue, state
    ), counted AS (
        INSERT INTO {schema}.delta (queue, state, n) SELECT queue, state, count(*) FROM made GROUP BY queue, state RETURNING state
    )
    SELECT bool_or(state IN ({state:waiting}, {state:delayed})) INTO came FROM counted;
    IF workflows IS NOT NULL THEN
        INSERT INTO {schema}.member (flow, job)
        SELECT r.workflow, r.id FROM unnest(ids, workflows, skips) r(id, workflow, skip)
        WHERE r.workflow IS NOT NULL AND r.skip IS NOT TRUE;
    END IF;
    IF users IS NOT NULL OR projects IS NOT NULL OR groups IS NOT NULL OR keys IS NOT NULL THEN
        PERFORM {schema}.label(array_agg(r.id)) FROM unnest(ids, skips) r(id, skip) WHERE r.skip IS NOT TRUE;
    END IF;
    IF {awake} THEN
        PERFORM {schema}.happened(array_agg(r.id), at) FROM unnest(ids, skips) r(id, skip) WHERE r.skip IS NOT TRUE;
    END IF;
    IF lined THEN
        PERFORM {schema}.tell_lanes(array_agg(r.id), true) FROM unnest(ids, skips) r(id, skip) WHERE r.skip IS NOT TRUE;
        IF b_rows IS NOT NULL THEN
            INSERT INTO {schema}.news (bounds, fresh) SELECT DISTINCT j.bounds, true FROM {schema}.job j
            JOIN unnest(ids, skips) r(id, skip) ON r.id = j.id AND r.skip IS NOT TRUE
            WHERE j.bounds IS NOT NULL AND j.state IN ({state:blocked}, {state:delayed});
        END IF;
    END IF;
    IF a_parents IS NOT NULL THEN
        PERFORM 1 FROM {schema}.job j WHERE j.id = ANY(a_children) AND j.state = {state:blocked} ORDER BY j.id FOR UPDATE;
        WITH joined AS (
            INSERT INTO {schema}.edge (parent, child, on_failure)
            SELECT DISTINCT ON (a.parent, a.child) a.parent, a.child, a.policy
            FROM unnest(a_parents, a_children, a_policies) WITH ORDINALITY a(parent, child, policy, n)
            JOIN unnest(ids, skips, answers) r(id, skip, answer) ON r.id = a.parent AND NOT r.skip AND r.answer IS NULL
            JOIN {schema}.job j ON j.id = a.child AND j.state = {state:blocked}
            WHERE a.child NOT IN (SELECT f.id FROM unnest(ids, skips) f(id, skip) WHERE NOT f.skip)
            ORDER BY a.parent, a.child, a.n
            ON CONFLICT DO NOTHING RETURNING child
        )
        UPDATE {schema}.job j SET waits = j.waits + c.n FROM (SELECT child, count(*) AS n FROM joined GROUP BY child) c
        WHERE j.id = c.child;
    END IF;
    IF e_children IS NOT NULL THEN
        INSERT INTO {schema}.edge (parent, child, on_failure)
        SELECT e.parent, e.child, e.policy FROM unnest(e_children, e_parents, e_policies, e_states) e(child, parent, policy, state)
        JOIN unnest(ids, skips, dooms, waitss) r(id, skip, doom, waits)
            ON r.id = e.child AND NOT r.skip AND r.doom IS NULL AND r.waits > 0
        WHERE e.state IN ({any:live}) OR e.state <> {state:completed} AND e.policy = 'hold'
        ON CONFLICT DO NOTHING;
        SELECT array_agg(r.id) INTO gone FROM unnest(ids, skips, dooms) r(id, skip, doom) WHERE NOT r.skip AND r.doom IS NOT NULL;
        IF gone IS NOT NULL THEN
            INSERT INTO {schema}.cut (parent, child, on_failure, cause)
            SELECT e.parent, e.child, e.policy, e.parent IS NOT DISTINCT FROM r.causer
            FROM unnest(e_children, e_parents, e_policies) e(child, parent, policy)
            JOIN unnest(ids, causers) r(id, causer) ON r.id = e.child
            WHERE e.child = ANY(gone) AND r.causer IS NOT NULL AND EXISTS (SELECT FROM {schema}.job j WHERE j.id = e.parent)
            ON CONFLICT DO NOTHING;
            PERFORM {schema}.tally_ends(gone, 'doom', at), {schema}.bury(gone);
            gone := {schema}.leave(gone);
            IF channel IS NULL THEN
                PERFORM {schema}.settle({inline_edges}, gone, at, false) WHERE cardinality(gone) > 0;
            ELSE
                INSERT INTO {schema}.settle (parent) SELECT unnest(gone);
            END IF;
        END IF;
    END IF;
    IF answers IS NOT NULL AND keys IS NOT NULL THEN
        PERFORM {schema}.free_keys(array_agg(r.id)) FROM unnest(ids, skips, answers) r(id, skip, answer)
        WHERE NOT r.skip AND r.answer IS NOT NULL;
    END IF;
    IF followers IS NOT NULL THEN
        PERFORM {schema}.follow(array_agg(j.id)) FROM {schema}.job j WHERE j.id = ANY(followers) AND j.state <> {state:blocked};
    END IF;
    FOR item IN
        SELECT l.holder, r.* FROM unnest(lost_n, lost_holders) l(n, holder) JOIN (
            SELECT q.n, q.args, q.options, q.tags, q.priority, q.max_attempts, coalesce(q.run_at, at + q.delay, at) AS run_at, q.latest,
                   q.bounds, q.weight
            FROM unnest(argss, optionss, tagss, priorities, attempts, run_ats, delays, conflicts, latests, extras)
            WITH ORDINALITY q(
                args, options, tags, priority, max_attempts, run_at, delay, conflict, latest, bounds, weight, answer, lane, keys, costs, n
            ) WHERE q.conflict IN ('replace', 'rerun') AND q.answer IS NULL
        ) r ON r.n = l.n ORDER BY l.n
    LOOP
        PERFORM {schema}.replace(
            item.holder, coalesce(item.args, argss[1]), coalesce(item.options, optionss[1]), item.tags,
            coalesce(item.priority, priorities[1]), coalesce(item.max_attempts, attempts[1]), item.run_at, item.latest,
            item.bounds, item.weight, at
        );
    END LOOP;
    IF channel IS NOT NULL AND came THEN
        PERFORM pg_notify(channel, '');
    END IF;
    IF lost_n IS NOT NULL THEN
        RETURN QUERY SELECT l.n, l.holder, 'held'::text FROM unnest(lost_n, lost_holders) l(n, holder);
    END IF;
END $$;

-- The plain road: jobs without keys, edges, bounds or answers that differ in nothing but their ids and arguments, none of them stored yet.
-- One value for a column instead of an array each: to unnest an array costs more than to store a job.
CREATE OR REPLACE FUNCTION {schema}.enqueue_alike(
    ids text[], argss text[], kind text, queue text, runtime text, priority integer, attempts integer, delay bigint, run_at bigint,
    expires_in bigint, expires_at bigint, options text, user_ text, project text, group_ text, workflow text, name text, tags text
) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    at bigint := {schema}.clock(); due bigint := greatest(at, coalesce(run_at, at + delay)); stored integer;
    came text := CASE WHEN due > at THEN {state:delayed} ELSE {state:waiting} END;
BEGIN
    INSERT INTO {schema}.job (
        id, created_at, expires_at, dependents, kind, runtime, queue, user_, project, group_, workflow, name, options, tags, args,
        max_attempts, priority, waits, attempt, rescues, ord, run_at, state
    )
    SELECT ids[n], at, coalesce(expires_at, at + expires_in), false, kind, runtime, queue, user_, project, group_, workflow, name, options,
           tags, coalesce(argss[n], argss[1]), attempts, priority, 0, 0, 0, {schema}.place(priority, nextval('{schema}.seq')), due, came
    FROM generate_series(1, cardinality(ids)) n
    WHERE NOT EXISTS (SELECT FROM {schema}.queue q WHERE q.ordering <> 'strict' AND q.name = queue)
      AND NOT EXISTS (SELECT FROM {schema}.gate WHERE ruling);
    GET DIAGNOSTICS stored = ROW_COUNT;
    IF stored = 0 THEN
        -- They belong into lanes.
        PERFORM {schema}.enqueue(
            ids, ARRAY[kind], ARRAY[queue], ARRAY[runtime], argss, ARRAY[priority], ARRAY[attempts], {schema}.each(delay, ids),
            {schema}.each(run_at, ids), {schema}.each(expires_in, ids), {schema}.each(expires_at, ids), ARRAY[options],
            {schema}.each(user_, ids), {schema}.each(project, ids), {schema}.each(group_, ids), {schema}.each(workflow, ids),
            {schema}.each(name, ids), {schema}.each(tags, ids), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
            NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL
        );
        RETURN;
    END IF;
    INSERT INTO {schema}.delta VALUES (queue, came, stored);
    IF workflow IS NOT NULL THEN
        INSERT INTO {schema}.member (flow, job) SELECT workflow, unnest(ids);
    END IF;
    IF user_ IS NOT NULL OR project IS NOT NULL OR group_ IS NOT NULL THEN
        INSERT INTO {schema}.label (key, job) SELECT l.key, unnest(ids)
        FROM (VALUES ('u' || user_), ('p' || project), ('g' || group_)) l(key) WHERE l.key IS NOT NULL;
    END IF;
    IF {awake} THEN
        PERFORM {schema}.happen(came, ids, at);
    END IF;
END $$;

-- An array with this value for each id; NULL for none.
CREATE OR REPLACE FUNCTION {schema}.each(value anyelement, ids text[]) RETURNS anyarray LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN value IS NOT NULL THEN array_fill(value, ARRAY[cardinality(ids)]) END
$$;

-- Changes a holder that has not begun to the arguments of a newer job; its place in line stays where its time does.
CREATE OR REPLACE FUNCTION {schema}.replace(
    holder text, new_args text, new_options text, new_tags text, new_priority integer, new_attempts integer, new_run_at bigint,
    latest bigint, new_bounds {schema}.bound[], new_weight integer, at bigint
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    stood text;
BEGIN
    SELECT state, least(new_run_at, created_at + latest) INTO stood, new_run_at FROM {schema}.job
    WHERE id = holder AND state IN ({state:blocked}, {state:delayed}, {state:waiting}) AND signal IS NULL FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM {schema}.tell(ARRAY[holder], -1);
    UPDATE {schema}.job SET
        args = new_args, options = new_options, tags = new_tags, priority = new_priority, max_attempts = new_attempts,
        bounds = new_bounds, weight = new_weight, run_at = greatest(at, new_run_at),
        ord = {schema}.place(new_priority, CASE WHEN stood = {state:delayed} THEN nextval('{schema}.seq') ELSE ord & {seq_mask} END),
        state = CASE WHEN stood = {state:blocked} THEN stood WHEN new_run_at > at THEN {state:delayed} ELSE {state:waiting} END
    WHERE id = holder;
    PERFORM {schema}.tell(ARRAY[holder], 1);
    IF {awake} AND stood <> (SELECT state FROM {schema}.job WHERE id = holder) THEN
        PERFORM {schema}.happened(ARRAY[holder], at);
    END IF;
    IF new_bounds IS NOT NULL THEN
        INSERT INTO {schema}.news (bounds, fresh) VALUES (new_bounds, true);
    END IF;
    PERFORM {schema}.enter_any(ARRAY[holder]);
END $$;

-- name: call
SELECT n, id, outcome FROM {schema}.enqueue(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30,
    $31, $32, $33, $34, $35, $36, $37, $38, $39, $40
)

-- name: alike
SELECT {schema}.enqueue_alike($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)

-- name: queues
INSERT INTO {schema}.queue (name) SELECT unnest($1::text[]) ORDER BY 1 ON CONFLICT DO NOTHING
