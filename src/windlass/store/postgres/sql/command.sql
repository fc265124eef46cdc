-- What operators do to jobs. The rows were locked by `targets` before.
-- Input: ids, and what the action needs. Output: none, or what was refused.
-- Relies on: `tell` before and after, so that sums follow the states.

-- name: targets
SELECT id, state FROM {schema}.job WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE

-- name: cancel
SELECT {schema}.end_pending($1::text[], {to:cancel}, $2::text, {schema}.clock())

-- name: fail
SELECT {schema}.end_pending($1::text[], {to:fail}, $2::text, {schema}.clock())

-- name: flag
UPDATE {schema}.job SET cancelling = $2 WHERE id = ANY($1::text[])

-- name: awaited
SELECT DISTINCT parent FROM {schema}.edge WHERE parent = ANY($1::text[])

-- name: delete
SELECT {schema}.remove($1::text[])

-- name: lapsed_keys
DELETE FROM {schema}.uniq u USING {schema}.job j
WHERE j.id = ANY($1::text[]) AND u.key = j.unique_ AND u.until <= {schema}.clock()

-- name: take_keys
INSERT INTO {schema}.uniq (key, holder, mode)
SELECT DISTINCT ON (unique_) unique_, id, 'finished' FROM {schema}.job
WHERE id = ANY($1::text[]) AND unique_ IS NOT NULL AND unique_until = 'finished' ORDER BY unique_, id
ON CONFLICT (key) DO NOTHING

-- name: held
SELECT j.id, u.holder FROM {schema}.job j JOIN {schema}.uniq u ON u.key = j.unique_ AND u.holder <> j.id
WHERE j.id = ANY($1::text[])

-- name: requeue
SELECT {schema}.requeue($1::text[], $2::boolean, {schema}.clock())

-- name: run_now
SELECT {schema}.run_now($1::text[])

-- name: reprioritise
UPDATE {schema}.job SET priority = $2, ord = {schema}.place($2, ord & {seq_mask}) WHERE id = ANY($1::text[])

-- name: settle
SELECT moved, readied, ended, more FROM {schema}.settle({inline_edges}, $1::text[], {schema}.clock())

-- name: audit
INSERT INTO {schema}.audit (at, actor, action, target, detail) VALUES ({schema}.clock(), $1, $2, $3, $4)

-- name: routine
CREATE OR REPLACE FUNCTION {schema}.remove(ids text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM {schema}.tell(ids, -1);
    PERFORM {schema}.leave(ids);
    DELETE FROM {schema}.settle WHERE parent = ANY(ids);
    DELETE FROM {schema}.line WHERE job = ANY(ids);
    DELETE FROM {schema}.job WHERE id = ANY(ids);
END $$;

CREATE OR REPLACE FUNCTION {schema}.requeue(ids text[], keep boolean, at bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM {schema}.tell(ids, -1);
    UPDATE {schema}.job j SET
        state = {to:requeue}, ord = {schema}.place(j.priority, o.seq), run_at = at, attempt = CASE WHEN keep THEN attempt ELSE 0 END,
        result = NULL, error = NULL, reason = NULL, finished_at = NULL, started_at = NULL, worker = NULL, progress = NULL,
        note = NULL, rescues = 0, waits = 0, cancelling = NULL, park = NULL,
        expires_at = CASE WHEN expires_at > at THEN expires_at END
    FROM (SELECT id, nextval('{schema}.seq') AS seq FROM (SELECT unnest(ids) AS id ORDER BY 1) s) o WHERE j.id = o.id;
    PERFORM {schema}.tell(ids, 1);
END $$;

CREATE OR REPLACE FUNCTION {schema}.run_now(ids text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM {schema}.tell(ids, -1);
    UPDATE {schema}.job j SET state = {to:promote}, ord = {schema}.place(j.priority, o.seq), run_at = {schema}.clock()
    FROM (SELECT id, nextval('{schema}.seq') AS seq FROM (SELECT unnest(ids) AS id ORDER BY 1) s) o WHERE j.id = o.id;
    PERFORM {schema}.tell(ids, 1);
END $$;
