-- What several verbs share, as functions in the schema: replaced by every migration run.
-- Input: job ids whose rows the caller has locked. Output: none, or what the caller needs to go on.
-- Relies on: READ COMMITTED (each statement of a volatile function sees what was committed before it began).

-- name: routines
-- The claim order of a priority and a sequence number: `priority.order`.
CREATE OR REPLACE FUNCTION {schema}.place(priority integer, seq bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT ((100 - priority)::bigint << 45) | seq
$$;

-- A trail with one more line, cut to the newest: `job.append_trail`.
CREATE OR REPLACE FUNCTION {schema}.trail_with(trail text, line text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN trail IS NULL THEN line ELSE (
        SELECT array_to_string(lines[greatest(1, cardinality(lines) - {most_trail} + 1):], E'\n')
        FROM (SELECT string_to_array(trail, E'\n') || line AS lines) t
    ) END
$$;

-- Adds `by` per job to the sums of the queue and state each job is in now.
CREATE OR REPLACE FUNCTION {schema}.tell(ids text[], by integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO {schema}.delta (queue, state, n)
    SELECT queue, state, by * count(*) FROM {schema}.job WHERE id = ANY(ids) GROUP BY queue, state
$$;

-- Makes new jobs known to those who look for a user's, project's, group's or key's.
CREATE OR REPLACE FUNCTION {schema}.label(ids text[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO {schema}.label (key, job)
    SELECT v.key, j.id FROM {schema}.job j CROSS JOIN LATERAL {labels} WHERE j.id = ANY(ids) AND v.key IS NOT NULL
$$;

-- Lets go of the unique keys of jobs that have ended; a key's follower takes it over.
CREATE OR REPLACE FUNCTION {schema}.free_keys(ids text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    freed text[];
BEGIN
    DELETE FROM {schema}.follower f USING {schema}.job j WHERE j.id = ANY(ids) AND f.key = j.unique_ AND f.job = j.id;
    WITH gone AS (
        DELETE FROM {schema}.uniq u USING {schema}.job j
        WHERE j.id = ANY(ids) AND j.unique_ IS NOT NULL AND u.key = j.unique_ AND u.holder = j.id AND u.mode <> 'period'
        RETURNING u.key
    )
    SELECT array_agg(key) INTO freed FROM gone;
    IF freed IS NOT NULL AND EXISTS (SELECT FROM {schema}.follower) THEN
        PERFORM {schema}.follow(array_agg(f.job)) FROM {schema}.follower f WHERE f.key = ANY(freed);
    END IF;
END $$;

-- Followers that wait no longer take their keys, if these are free.
CREATE OR REPLACE FUNCTION {schema}.follow(ids text[]) RETURNS void LANGUAGE sql AS $$
    WITH up AS (
        DELETE FROM {schema}.follower f USING {schema}.job j WHERE j.id = ANY(ids) AND f.key = j.unique_ AND f.job = j.id
        RETURNING f.key, j.id, j.unique_until
    )
    INSERT INTO {schema}.uniq (key, holder, mode) SELECT key, id, unique_until FROM up ON CONFLICT DO NOTHING
$$;

-- What every end of a job lets go: its unique key, its own open edges (kept as cut, should it be revived); its dependents are
-- returned: their edges are to be settled.
CREATE OR REPLACE FUNCTION {schema}.leave(ids text[]) RETURNS text[] LANGUAGE plpgsql AS $$
BEGIN
    PERFORM {schema}.free_keys(ids);
    WITH gone AS (DELETE FROM {schema}.edge WHERE child = ANY(ids) RETURNING parent, child, on_failure)
    INSERT INTO {schema}.cut (parent, child, on_failure, cause) SELECT parent, child, on_failure, false FROM gone
    ON CONFLICT (parent, child) DO UPDATE SET on_failure = excluded.on_failure, cause = false;
    RETURN (SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM {schema}.job WHERE id = ANY(ids) AND dependents);
END $$;

-- Counts these jobs in the tallies under a name: ends that no worker told.
CREATE OR REPLACE FUNCTION {schema}.tally_ends(ids text[], what text, at bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO {schema}.batch
    SELECT at - at % 60000000, array_agg(s.queue), array_agg(s.kind), array_agg(what), array_agg(0), array_agg(s.n)
    FROM (SELECT queue, kind, count(*) AS n FROM {schema}.job WHERE id = ANY(ids) GROUP BY queue, kind) s HAVING count(*) > 0
$$;

-- Ends jobs that nobody runs; those of them that have dependents. `what`: the name in the tallies.
CREATE OR REPLACE FUNCTION {schema}.end_pending(ids text[], target text, why text, at bigint, what text) RETURNS text[]
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM {schema}.tell(ids, -1);
    UPDATE {schema}.job SET state = target, reason = why, finished_at = at, waits = 0, park = NULL, signal = NULL WHERE id = ANY(ids);
    PERFORM {schema}.tell(ids, 1);
    PERFORM {schema}.tally_ends(ids, what, at);
    IF target = {state:failed} THEN
        PERFORM {schema}.bury(ids);
    END IF;
    PERFORM {schema}.happen(target, ids, at);
    RETURN {schema}.leave(ids);
END $$;

-- What jobs that have just stopped waiting for parents need besides their new state. `lined`: one of them may belong into a lane.
CREATE OR REPLACE FUNCTION {schema}.let_go(ids text[], lined boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF lined OR {ruled} THEN
        PERFORM {schema}.enter(ids, false);
    END IF;
    IF EXISTS (SELECT FROM {schema}.follower) THEN
        PERFORM {schema}.follow(ids);
    END IF;
END $$;

-- Suspended jobs, whose rows the caller has locked, wait for their turn again.
CREATE OR REPLACE FUNCTION {schema}.wake(ids text[], at bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM {schema}.tell(ids, -1);
    UPDATE {schema}.job j SET
        state = {to:signal}, run_at = at, ord = {schema}.place(priority, p.seq), signal = NULL, reason = NULL
    FROM (SELECT id, nextval('{schema}.seq') AS seq FROM (SELECT unnest(ids) AS id ORDER BY 1) o) p
    WHERE j.id = p.id;
    PERFORM {schema}.tell(ids, 1);
    PERFORM {schema}.enter_any(ids);
END $$;

-- Settles the edges of ended parents: of `line` and of those whom that ends, level by level, up to `budget` edges; what is left
-- goes to the table `settle`. With an empty `line`: those of that table. The parent's row is locked, so that
-- nobody else counts the same edges. `known`: the caller has completed the whole line. Locks: parent, then children by id, then edges.
CREATE OR REPLACE FUNCTION {schema}.settle(
    budget integer, line text[], at bigint, known boolean, OUT moved integer, OUT readied boolean, OUT ended boolean, OUT more boolean
) LANGUAGE plpgsql AS $$
DECLARE
    item text; stored boolean := cardinality(line) = 0; whole boolean := known OR cardinality(line) > 1;
    stood text; well boolean; kids text[]; policies text[]; spots tid[]; did record;
BEGIN
    moved := 0; readied := false; ended := false;
    LOOP
        IF cardinality(line) = 0 AND stored AND moved < budget THEN
            -- In one go: each look at this table passes over what an old snapshot keeps of it.
            WITH taken AS (
                DELETE FROM {schema}.settle WHERE n IN (
                    SELECT n FROM {schema}.settle ORDER BY n LIMIT budget - moved FOR UPDATE SKIP LOCKED
                ) RETURNING n, parent
            )
            SELECT coalesce(array_agg(parent ORDER BY n), '{}') INTO line FROM taken;
            stored := cardinality(line) > 0;
            whole := stored;
        END IF;
        EXIT WHEN cardinality(line) = 0 OR moved >= budget;
        IF whole THEN
            SELECT * INTO did FROM {schema}.settle_completed(line, known, budget - moved, at);
            line := did.rest;
            readied := readied OR did.readied;
            ended := ended OR did.moved > 0;
            moved := moved + did.moved;
            whole := false;
            CONTINUE;
        END IF;
        item := line[1];
        stood := NULL;
        SELECT j.state INTO stood FROM {schema}.job j WHERE j.id = item FOR UPDATE;
        IF stood IN ({any:live}) THEN
            -- Enqueued in a user's transaction while the parent was open: from now on its end knows of its dependents.
            UPDATE {schema}.job SET dependents = true WHERE id = item AND NOT dependents;
            line := line[2:];
            CONTINUE;
        END IF;
        well := stood IS NOT DISTINCT FROM {state:completed};
        SELECT array_agg(e.child), array_agg(e.on_failure), array_agg(e.ctid) INTO kids, policies, spots FROM (
            SELECT child, on_failure, ctid FROM {schema}.edge WHERE parent = item AND (well OR on_failure <> 'hold')
            ORDER BY child LIMIT budget - moved + 1
        ) e;
        IF cardinality(kids) > budget - moved THEN
            kids := kids[:budget - moved];
            policies := policies[:budget - moved];
            spots := spots[:budget - moved];
        ELSE
            line := line[2:];
        END IF;
        CONTINUE WHEN kids IS NULL;
        SELECT * INTO did FROM {schema}.settle_edges(item, coalesce(stood, 'deleted'), well, kids, policies, spots, at);
        line := line || did.parents;
        readied := readied OR did.readied;
        ended := true;
        moved := moved + cardinality(kids);
    END LOOP;
    INSERT INTO {schema}.settle (parent) SELECT unnest(line);
    -- What others work on is not ours to come back for: a promote that did so would ask in vain each few milliseconds.
    more := cardinality(line) > 0 OR EXISTS (SELECT FROM {schema}.settle FOR UPDATE SKIP LOCKED);
END $$;

-- Edges are read once and deleted by their place: nobody else deletes them while the parent is locked, so a place cannot come to hold
-- another row before this call is over.

-- The edges of all completed parents of the line at once, up to the budget: a level of many jobs leads to few, or one leads to many.
-- `known`: the caller has just completed all of them, so they need no look. `rest`: those of the line that are not done with, and
-- jobs with dependents that this ended.
CREATE OR REPLACE FUNCTION {schema}.settle_completed(
    line text[], known boolean, budget integer, at bigint, OUT rest text[], OUT moved integer, OUT readied boolean
) LANGUAGE plpgsql AS $$
DECLARE
    wells text[] := line; kids text[]; policies text[]; spots tid[]; numbers integer[]; triggering boolean[]; go text[]; calm text[];
    lined boolean; over boolean;
BEGIN
    rest := line; moved := 0; readied := false;
    IF NOT known THEN
        SELECT array_agg(id) INTO wells FROM (
            SELECT id, state FROM {schema}.job WHERE id = ANY(line) ORDER BY id OFFSET 0 FOR UPDATE
        ) j WHERE state = {state:completed}; -- fenced off, or the planner would start from the index of completed jobs
    END IF;
    IF wells IS NULL THEN
        RETURN;
    END IF;
    -- Children are counted down in the order of their ids, so that calls which have the same ones follow each other. Those of one
    -- parent come in that order, each once.
    IF cardinality(wells) = 1 THEN
        SELECT count(*), array_agg(child), array_agg(on_failure), array_agg(spot) INTO moved, kids, policies, spots FROM (
            SELECT child, on_failure, ctid AS spot FROM {schema}.edge WHERE parent = wells[1] ORDER BY child LIMIT budget + 1
        ) e;
    ELSE
        SELECT count(*), array_agg(child), array_agg(on_failure), array_agg(spot) INTO moved, kids, policies, spots FROM (
            SELECT child, on_failure, ctid AS spot FROM {schema}.edge WHERE parent = ANY(wells) LIMIT budget + 1
        ) e;
    END IF;
    over := moved > budget;
    IF over THEN
        moved := budget;
        kids := kids[:budget]; policies := policies[:budget]; spots := spots[:budget];
    END IF;
    IF cardinality(wells) > 1 THEN
        SELECT array_agg(child), array_agg(n), array_agg(triggers) INTO kids, numbers, triggering FROM (
            SELECT child, count(*)::integer AS n, bool_or(on_failure = 'trigger') AS triggers
            FROM unnest(kids, policies) e(child, on_failure) GROUP BY child ORDER BY child COLLATE "C"
        ) e;
    ELSIF 'trigger' = ANY(policies) THEN
        SELECT array_agg(p.policy = 'trigger' ORDER BY p.n) INTO triggering FROM unnest(policies) WITH ORDINALITY p(policy, n);
    END IF;
    IF moved > 0 THEN
        WITH fewer AS (
            -- Blocked jobs are those that wait; the state itself would make the planner start from the index of rare states.
            UPDATE {schema}.job j SET
                waits = j.waits - coalesce(l.n, 1),
                state = CASE WHEN j.waits > coalesce(l.n, 1) OR l.triggers THEN j.state
                             WHEN j.run_at > at THEN {state:delayed} ELSE {to:unblock} END,
                run_at = CASE WHEN j.waits > coalesce(l.n, 1) OR l.triggers THEN j.run_at ELSE greatest(j.run_at, at) END,
                ord = CASE WHEN j.waits > coalesce(l.n, 1) OR l.triggers THEN j.ord
                           ELSE {schema}.place(j.priority, nextval('{schema}.seq')) END
            FROM unnest(kids, numbers, triggering) l(child, n, triggers) WHERE j.id = l.child AND j.waits > 0
            RETURNING j.id, j.queue, j.state, j.waits, l.triggers, j.bounds IS NOT NULL OR j.lane IS NOT NULL AS lined
        ),
        told AS (
            INSERT INTO {schema}.delta (queue, state, n)
            SELECT queue, {state:blocked}, -count(*) FROM fewer WHERE waits = 0 AND triggers IS NOT TRUE GROUP BY queue
            UNION ALL SELECT queue, state, count(*) FROM fewer WHERE waits = 0 AND triggers IS NOT TRUE GROUP BY queue, state
        )
        SELECT array_agg(id) FILTER (WHERE waits = 0 AND triggers IS NOT TRUE), array_agg(id) FILTER (WHERE waits = 0 AND triggers),
               bool_or(fewer.lined)
        INTO go, calm, lined FROM fewer;
        DELETE FROM {schema}.edge WHERE ctid = ANY(spots);
    END IF;
    -- Of many parents nobody knows whose edges were beyond the budget; of those that another call worked on none may be left.
    SELECT coalesce(array_agg(l.id ORDER BY l.n), '{}') INTO rest FROM unnest(line) WITH ORDINALITY l(id, n)
    WHERE NOT known AND l.id <> ALL(wells) OR over AND EXISTS (SELECT FROM {schema}.edge e WHERE e.parent = l.id);
    IF go IS NOT NULL THEN
        PERFORM {schema}.let_go(go, lined);
        PERFORM {schema}.happened(go, at);
        readied := true;
    END IF;
    IF calm IS NOT NULL THEN
        rest := rest || {schema}.end_pending(calm, {to:doom}, '{not_triggered}', at, 'doom');
    END IF;
END $$;

-- The edges from one ended parent to these children: which of them have dependents and ended, and whether one may run now.
CREATE OR REPLACE FUNCTION {schema}.settle_edges(
    ended text, stood text, well boolean, kids text[], policies text[], spots tid[], at bigint, OUT parents text[], OUT readied boolean
) LANGUAGE plpgsql AS $$
DECLARE
    go text[]; calm text[]; fired text[]; doomed text[]; failing text[]; lined boolean; why text := 'parent ' || ended || ' ' || stood;
BEGIN
    parents := '{}';
    WITH numbered AS MATERIALIZED (
        SELECT g.child, g.on_failure, nextval('{schema}.seq') AS seq, g.on_failure = 'run' OR well AND g.on_failure <> 'trigger' AS counts,
               g.on_failure = 'trigger' AND NOT well AS fires
        FROM unnest(kids, policies) g(child, on_failure)
    ),
    fewer AS (
        UPDATE {schema}.job j SET
            waits = CASE WHEN g.fires THEN 0 ELSE j.waits - 1 END,
            state = CASE WHEN NOT (g.fires OR g.counts AND j.waits = 1) THEN j.state
                         WHEN j.run_at > at THEN {state:delayed} ELSE {to:unblock} END,
            run_at = CASE WHEN g.fires OR g.counts AND j.waits = 1 THEN greatest(j.run_at, at) ELSE j.run_at END,
            ord = CASE WHEN g.fires OR g.counts AND j.waits = 1 THEN {schema}.place(j.priority, g.seq) ELSE j.ord END
        FROM numbered g WHERE j.id = g.child AND j.waits > 0
        RETURNING j.id, j.queue, j.state, j.waits, g.on_failure, g.fires, g.fires OR g.counts AND j.waits = 0 AS goes,
                  j.bounds IS NOT NULL OR j.lane IS NOT NULL AS lined
    ),
    told AS (
        INSERT INTO {schema}.delta (queue, state, n)
        SELECT queue, {state:blocked}, -count(*) FROM fewer WHERE goes GROUP BY queue
        UNION ALL SELECT queue, state, count(*) FROM fewer WHERE goes GROUP BY queue, state
    )
    SELECT array_agg(id) FILTER (WHERE goes), array_agg(id) FILTER (WHERE fires),
           array_agg(id) FILTER (WHERE on_failure = 'trigger' AND waits = 0 AND well),
           array_agg(id) FILTER (WHERE on_failure = 'cancel' AND NOT well),
           array_agg(id) FILTER (WHERE on_failure = 'fail' AND NOT well), bool_or(fewer.lined)
    INTO go, fired, calm, doomed, failing, lined FROM fewer;
    DELETE FROM {schema}.edge WHERE ctid = ANY(spots);
    IF fired IS NOT NULL THEN
        DELETE FROM {schema}.edge WHERE child = ANY(fired);
    END IF;
    IF go IS NOT NULL THEN
        PERFORM {schema}.let_go(go, lined);
        PERFORM {schema}.happened(go, at);
    END IF;
    IF calm IS NOT NULL THEN
        parents := parents || {schema}.end_pending(calm, {to:doom}, '{not_triggered}', at, 'doom');
    END IF;
    IF doomed IS NOT NULL THEN
        parents := parents || {schema}.end_pending(doomed, {to:doom}, why, at, 'doom');
        PERFORM {schema}.cut_by(ended, doomed, 'cancel');
    END IF;
    IF failing IS NOT NULL THEN
        parents := parents || {schema}.end_pending(failing, {to:fail}, why, at, 'doom');
        PERFORM {schema}.cut_by(ended, failing, 'fail');
    END IF;
    readied := go IS NOT NULL;
END $$;

-- Remembers the edges by which a parent's end ended these children.
CREATE OR REPLACE FUNCTION {schema}.cut_by(ended text, kids text[], policy text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO {schema}.cut (parent, child, on_failure, cause) SELECT ended, unnest(kids), policy, true
    ON CONFLICT (parent, child) DO UPDATE SET on_failure = excluded.on_failure, cause = true
$$;
