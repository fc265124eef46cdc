-- What operators do to jobs. The rows were locked by `targets` before.
-- Input: ids, and what the action needs. Output: none, or what was refused.
-- Relies on: `tell` before and after, so that sums follow the states.

-- name: targets
SELECT id, state, signal IS NOT NULL AS suspended FROM {schema}.job WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE

-- name: cancel
SELECT {schema}.end_pending($1::text[], {to:cancel}, $2::text, {schema}.clock(), 'cancel') AS parents

-- name: fail
SELECT {schema}.end_pending($1::text[], {to:fail}, $2::text, {schema}.clock(), 'fail-by-command') AS parents

-- name: flag
WITH asked AS (UPDATE {schema}.job SET cancelling = $2 WHERE id = ANY($1::text[]) RETURNING id)
INSERT INTO {schema}.flag (job) SELECT id FROM asked ON CONFLICT DO NOTHING

-- name: awaited
SELECT DISTINCT parent FROM {schema}.edge WHERE parent = ANY($1::text[])

-- name: delete
SELECT {schema}.remove($1::text[], $2::boolean)

-- name: take_keys
SELECT id, holder FROM {schema}.take_keys($1::text[])

-- name: requeue
SELECT {schema}.requeue($1::text[], $2::boolean, {schema}.clock(), $3::boolean, $4::text, $5::integer)

-- name: revive
SELECT {schema}.wait_again($1::text[]), {schema}.spread($1::text[], {inline_edges}, {schema}.clock())

-- name: forget_cut
DELETE FROM {schema}.cut WHERE child = ANY($1::text[])

-- name: run_now
SELECT {schema}.run_now($1::text[])

-- name: reprioritise
SELECT {schema}.reprioritise($1::text[], $2::integer)

-- name: edit
WITH t AS MATERIALIZED (SELECT {schema}.clock() AS now)
UPDATE {schema}.job SET
    args = coalesce($2::text, args), max_attempts = coalesce($3::integer, max_attempts),
    run_at = CASE WHEN $4::bigint IS NULL THEN run_at ELSE greatest($4::bigint, t.now) END
FROM t WHERE id = ANY($1::text[])

-- name: settle
SELECT readied FROM {schema}.settle({inline_edges}, $1::text[], {schema}.clock(), false)

-- name: audit
INSERT INTO {schema}.audit (at, actor, action, target, detail) VALUES ({schema}.clock(), $1, $2, $3, $4)

-- name: note_acts
WITH t AS MATERIALIZED (SELECT {schema}.clock() AS now)
INSERT INTO {schema}.audit (at, actor, action, target, detail)
SELECT t.now, a.actor, a.action, a.target, a.detail
FROM t, unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY a(actor, action, target, detail, n) ORDER BY a.n

-- name: routine
-- `remembered`: what remains of them goes to `past`, whose mark the caller has locked. One look tells who needs more than to be deleted.
CREATE OR REPLACE FUNCTION {schema}.remove(ids text[], remembered boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    keyed text[]; labelled text[]; members text[];
BEGIN
    SELECT array_agg(j.id) FILTER (WHERE j.unique_ IS NOT NULL),
           array_agg(j.id) FILTER (WHERE coalesce(j.user_, j.project, j.group_, j.unique_) IS NOT NULL),
           array_agg(j.id) FILTER (WHERE j.workflow IS NOT NULL)
    INTO keyed, labelled, members FROM {schema}.job j WHERE j.id = ANY(ids);
    IF keyed IS NOT NULL THEN
        PERFORM {schema}.free_keys(keyed);
    END IF;
    DELETE FROM {schema}.edge WHERE child = ANY(ids);
    DELETE FROM {schema}.cut WHERE child = ANY(ids);
    DELETE FROM {schema}.cut WHERE parent = ANY(ids);
    DELETE FROM {schema}.settle WHERE parent = ANY(ids);
    DELETE FROM {schema}.line WHERE job = ANY(ids);
    DELETE FROM {schema}.step WHERE job = ANY(ids);
    DELETE FROM {schema}.box WHERE job = ANY(ids);
    PERFORM {schema}.unbury(ids);
    IF labelled IS NOT NULL THEN
        DELETE FROM {schema}.label l USING {schema}.job j CROSS JOIN LATERAL {labels}
        WHERE j.id = ANY(labelled) AND l.key = v.key AND l.job = j.id;
    END IF;
    IF members IS NOT NULL THEN
        DELETE FROM {schema}.member m USING {schema}.job j WHERE j.id = ANY(members) AND m.flow = j.workflow AND m.job = j.id;
    END IF;
    IF remembered THEN
        PERFORM {schema}.remember(ids);
    ELSE
        WITH gone AS (DELETE FROM {schema}.job WHERE id = ANY(ids) RETURNING queue, state)
        INSERT INTO {schema}.delta (queue, state, n) SELECT queue, state, -count(*) FROM gone GROUP BY queue, state;
    END IF;
END $$;

-- `scheduled`: an automatic retry of dead letters. `new_args`, `new_attempts`: NULL keeps what the jobs have.
CREATE OR REPLACE FUNCTION {schema}.requeue(
    ids text[], keep boolean, at bigint, scheduled boolean, new_args text, new_attempts integer
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM {schema}.tell(ids, -1);
    UPDATE {schema}.job j SET
        state = {to:requeue}, ord = {schema}.place(j.priority, o.seq), run_at = at, attempt = CASE WHEN keep THEN attempt ELSE 0 END,
        result = NULL, error = NULL, reason = NULL, finished_at = NULL, started_at = NULL, worker = NULL, progress = NULL,
        note = NULL, rescues = 0, waits = 0, cancelling = NULL, park = NULL, signal = NULL,
        expires_at = CASE WHEN expires_at > at THEN expires_at END,
        args = coalesce(new_args, args), max_attempts = coalesce(new_attempts, max_attempts),
        revivals = CASE WHEN scheduled THEN coalesce(revivals, 0) + 1 END
    FROM (SELECT id, nextval('{schema}.seq') AS seq FROM (SELECT unnest(ids) AS id ORDER BY 1) s) o WHERE j.id = o.id;
    PERFORM {schema}.tell(ids, 1);
    PERFORM {schema}.unbury(ids);
    PERFORM {schema}.enter_any(ids);
    IF NOT keep THEN
        DELETE FROM {schema}.step WHERE job = ANY(ids);
        DELETE FROM {schema}.box WHERE job = ANY(ids);
    END IF;
END $$;

CREATE OR REPLACE FUNCTION {schema}.reprioritise(ids text[], wanted integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE {schema}.job SET priority = wanted, ord = {schema}.place(wanted, ord & {seq_mask}) WHERE id = ANY(ids);
    PERFORM {schema}.happen('edited', ids, {schema}.clock());
    PERFORM {schema}.enter_any(ids);
END $$;

CREATE OR REPLACE FUNCTION {schema}.run_now(ids text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM {schema}.tell(ids, -1);
    UPDATE {schema}.job j SET
        state = {to:promote}, ord = {schema}.place(j.priority, o.seq), run_at = {schema}.clock(), signal = NULL,
        reason = CASE WHEN j.signal IS NULL THEN j.reason END
    FROM (SELECT id, nextval('{schema}.seq') AS seq FROM (SELECT unnest(ids) AS id ORDER BY 1) s) o WHERE j.id = o.id;
    PERFORM {schema}.tell(ids, 1);
    PERFORM {schema}.happen({to:promote}, ids, {schema}.clock());
    PERFORM {schema}.enter_any(ids);
END $$;

-- Takes the keys that requeued jobs held until they ended; those whose key another job holds.
CREATE OR REPLACE FUNCTION {schema}.take_keys(ids text[]) RETURNS TABLE (id text, holder text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    DELETE FROM {schema}.uniq u USING {schema}.job j
    WHERE j.id = ANY(ids) AND u.key = j.unique_ AND u.until <= {schema}.clock();
    INSERT INTO {schema}.uniq (key, holder, mode)
    SELECT DISTINCT ON (unique_) unique_, id, 'finished' FROM {schema}.job
    WHERE id = ANY(ids) AND unique_ IS NOT NULL AND unique_until = 'finished' ORDER BY unique_, id
    ON CONFLICT (key) DO NOTHING;
    RETURN QUERY SELECT j.id, u.holder FROM {schema}.job j JOIN {schema}.uniq u ON u.key = j.unique_ AND u.holder <> j.id
    WHERE j.id = ANY(ids);
END $$;

-- Restores the cut edges of these waiting jobs to parents that have not completed; parents that ended hold them.
CREATE OR REPLACE FUNCTION {schema}.wait_again(ids text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    kids text[];
BEGIN
    -- Parents are locked, so that none ends between the look at its state and our commit.
    PERFORM 1 FROM {schema}.job WHERE id IN (SELECT parent FROM {schema}.cut WHERE child = ANY(ids)) ORDER BY id FOR UPDATE;
    UPDATE {schema}.job SET dependents = true
    WHERE NOT dependents AND id IN (SELECT parent FROM {schema}.cut WHERE child = ANY(ids)) AND state <> {state:completed};
    INSERT INTO {schema}.edge (parent, child, on_failure)
    SELECT c.parent, c.child, CASE WHEN p.state IN ({any:final}) THEN 'hold' ELSE c.on_failure END
    FROM {schema}.cut c JOIN {schema}.job p ON p.id = c.parent WHERE c.child = ANY(ids) AND p.state <> {state:completed}
    ON CONFLICT DO NOTHING;
    SELECT array_agg(DISTINCT child) INTO kids FROM {schema}.edge WHERE child = ANY(ids);
    IF kids IS NOT NULL THEN
        PERFORM {schema}.tell(kids, -1);
        UPDATE {schema}.job j SET state = {to:revive}, waits = (SELECT count(*) FROM {schema}.edge e WHERE e.child = j.id)
        WHERE id = ANY(kids);
        PERFORM {schema}.tell(kids, 1);
    END IF;
    DELETE FROM {schema}.cut WHERE child = ANY(ids);
END $$;

-- Revives what the end of these requeued parents had ended, down the subtree, level by level; what is left of the budget.
-- What exceeds it waits in `revive`.
CREATE OR REPLACE FUNCTION {schema}.spread(parents text[], budget integer, at bigint) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    line text[] := parents; ended text; kids text[]; held text[];
BEGIN
    WHILE cardinality(line) > 0 LOOP
        ended := line[1];
        line := line[2:];
        SELECT array_agg(k.id ORDER BY k.id) INTO kids FROM (
            SELECT j.id FROM {schema}.cut c JOIN {schema}.job j ON j.id = c.child
            WHERE c.parent = ended AND c.cause AND j.state IN ({from:revive}) ORDER BY j.id LIMIT budget + 1
        ) k;
        CONTINUE WHEN kids IS NULL;
        IF cardinality(kids) > budget THEN
            INSERT INTO {schema}.revive (parent) VALUES (ended);
            kids := kids[:budget];
        END IF;
        budget := budget - cardinality(kids);
        PERFORM 1 FROM {schema}.job WHERE id = ANY(kids) ORDER BY id FOR UPDATE;
        SELECT array_agg(t.id) INTO held FROM {schema}.take_keys(kids) t;
        UPDATE {schema}.cut SET cause = false WHERE parent = ended AND child = ANY(held);
        SELECT array_agg(j.id ORDER BY j.id) INTO kids FROM {schema}.job j
        WHERE j.id = ANY(kids) AND j.state IN ({from:revive}) AND (held IS NULL OR j.id <> ALL(held));
        CONTINUE WHEN kids IS NULL;
        PERFORM {schema}.requeue(kids, false, at, false, NULL, NULL);
        PERFORM {schema}.wait_again(kids);
        PERFORM {schema}.happened(kids, at);
        line := line || kids;
    END LOOP;
    RETURN budget;
END $$;

-- Goes on where a large revival stopped; whether there is more. A parent that has ended badly again has nothing to revive.
CREATE OR REPLACE FUNCTION {schema}.revive_left(budget integer, at bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    item record;
BEGIN
    WHILE budget > 0 LOOP
        SELECT n, parent INTO item FROM {schema}.revive ORDER BY n LIMIT 1 FOR UPDATE SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        DELETE FROM {schema}.revive WHERE n = item.n;
        PERFORM 1 FROM {schema}.job WHERE id = item.parent AND state NOT IN ({state:failed}, {state:cancelled}) FOR UPDATE;
        IF FOUND THEN
            budget := {schema}.spread(ARRAY[item.parent], budget, at);
        END IF;
    END LOOP;
    RETURN EXISTS (SELECT FROM {schema}.revive);
END $$;
