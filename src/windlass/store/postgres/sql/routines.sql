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

-- What every end of a job lets go: its unique key, its own open edges; its dependents are put up for settling.
CREATE OR REPLACE FUNCTION {schema}.leave(ids text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM {schema}.uniq u USING {schema}.job j
    WHERE j.id = ANY(ids) AND j.unique_ IS NOT NULL AND u.key = j.unique_ AND u.holder = j.id AND u.mode <> 'period';
    DELETE FROM {schema}.edge WHERE child = ANY(ids);
    INSERT INTO {schema}.settle (parent) SELECT id FROM {schema}.job WHERE id = ANY(ids) AND dependents ORDER BY id;
END $$;

-- Ends jobs that nobody runs.
CREATE OR REPLACE FUNCTION {schema}.end_pending(ids text[], target text, why text, at bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM {schema}.tell(ids, -1);
    UPDATE {schema}.job SET state = target, reason = why, finished_at = at, waits = 0, park = NULL WHERE id = ANY(ids);
    PERFORM {schema}.tell(ids, 1);
    PERFORM {schema}.leave(ids);
END $$;

-- Blocked jobs whose last parent let them go become waiting, or delayed when their time is ahead.
CREATE OR REPLACE FUNCTION {schema}.unblock(ids text[], at bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM {schema}.tell(ids, -1);
    UPDATE {schema}.job j
    SET state = CASE WHEN run_at > at THEN {state:delayed} ELSE {to:unblock} END,
        run_at = greatest(run_at, at), ord = {schema}.place(priority, p.seq)
    FROM (SELECT id, nextval('{schema}.seq') AS seq FROM (SELECT unnest(ids) AS id ORDER BY 1) o) p
    WHERE j.id = p.id;
    PERFORM {schema}.tell(ids, 1);
END $$;

-- Works off up to `budget` edges of parents that were put up for settling, those of `mine` first. An edge is deleted before its
-- child is counted down, so nothing counts twice. Locks: parent, then children by id, then edges.
CREATE OR REPLACE FUNCTION {schema}.settle(
    budget integer, mine text[], at bigint, OUT moved integer, OUT readied boolean, OUT ended boolean, OUT more boolean
) LANGUAGE plpgsql AS $$
DECLARE
    item record; stood text; kids text[]; go text[]; doomed text[]; failing text[]; asked integer; why text;
BEGIN
    moved := 0; readied := false; ended := false; more := false;
    LOOP
        SELECT s.n, s.parent INTO item FROM {schema}.settle s
        ORDER BY (s.parent = ANY(mine)) DESC, s.n LIMIT 1 FOR UPDATE SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        IF moved >= budget THEN
            more := true;
            EXIT;
        END IF;
        asked := budget - moved;
        stood := NULL;
        SELECT j.state INTO stood FROM {schema}.job j WHERE j.id = item.parent FOR UPDATE;
        IF stood IN ({any:live}) THEN
            -- Enqueued in a user's transaction while the parent was open: from now on its end knows of its dependents.
            UPDATE {schema}.job SET dependents = true WHERE id = item.parent AND NOT dependents;
            DELETE FROM {schema}.settle WHERE n = item.n;
            CONTINUE;
        END IF;
        SELECT array_agg(e.child ORDER BY e.child) INTO kids FROM (
            SELECT child FROM {schema}.edge
            WHERE parent = item.parent AND (stood = {state:completed} OR on_failure <> 'hold') ORDER BY child LIMIT asked
        ) e;
        IF kids IS NULL THEN
            DELETE FROM {schema}.settle WHERE n = item.n;
            CONTINUE;
        END IF;
        PERFORM 1 FROM {schema}.job WHERE id = ANY(kids) ORDER BY id FOR UPDATE;
        WITH gone AS (
            DELETE FROM {schema}.edge e WHERE e.parent = item.parent AND e.child = ANY(kids) RETURNING e.child, e.on_failure
        )
        SELECT array_agg(child) FILTER (WHERE stood = {state:completed} OR on_failure = 'run'),
               array_agg(child) FILTER (WHERE stood IS DISTINCT FROM {state:completed} AND on_failure = 'cancel'),
               array_agg(child) FILTER (WHERE stood IS DISTINCT FROM {state:completed} AND on_failure = 'fail')
        INTO go, doomed, failing FROM gone;
        IF go IS NOT NULL THEN
            WITH less AS (
                UPDATE {schema}.job SET waits = waits - 1 WHERE id = ANY(go) AND state = {state:blocked} RETURNING id, waits
            )
            SELECT array_agg(id) FILTER (WHERE waits = 0) INTO go FROM less;
            IF go IS NOT NULL THEN
                PERFORM {schema}.unblock(go, at);
                readied := true;
            END IF;
        END IF;
        why := 'parent ' || item.parent || ' ' || coalesce(stood, 'deleted');
        IF doomed IS NOT NULL THEN
            PERFORM {schema}.end_pending(array_agg(id), {to:doom}, why, at) FROM {schema}.job
            WHERE id = ANY(doomed) AND state = {state:blocked} HAVING count(*) > 0;
            ended := true;
        END IF;
        IF failing IS NOT NULL THEN
            PERFORM {schema}.end_pending(array_agg(id), {to:fail}, why, at) FROM {schema}.job
            WHERE id = ANY(failing) AND state = {state:blocked} HAVING count(*) > 0;
            ended := true;
        END IF;
        moved := moved + cardinality(kids);
        IF cardinality(kids) < asked THEN
            DELETE FROM {schema}.settle WHERE n = item.n;
        END IF;
    END LOOP;
END $$;
