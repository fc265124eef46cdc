-- Small keyed records and their compare-and-set.
-- Input: space, key, text, time to live, expected version. Output: the new version, or no row when the expectation failed.
-- Relies on: the condition standing in the writing statement itself; a row past its time counts as absent.

-- name: put
INSERT INTO {schema}.record (space, key, text, version, until)
VALUES ($1, $2, $3, nextval('{schema}.version'), {schema}.clock() + $4::bigint)
ON CONFLICT (space, key) DO UPDATE SET text = excluded.text, version = excluded.version, until = excluded.until
RETURNING version

-- name: put_new
INSERT INTO {schema}.record AS r (space, key, text, version, until)
VALUES ($1, $2, $3, nextval('{schema}.version'), {schema}.clock() + $4::bigint)
ON CONFLICT (space, key) DO UPDATE SET text = excluded.text, version = excluded.version, until = excluded.until
WHERE r.until <= {schema}.clock()
RETURNING version

-- name: put_over
UPDATE {schema}.record SET text = $3, version = nextval('{schema}.version'), until = {schema}.clock() + $4::bigint
WHERE space = $1 AND key = $2 AND version = $5 AND (until IS NULL OR until > {schema}.clock())
RETURNING version

-- name: drop
DELETE FROM {schema}.record WHERE space = $1 AND key = $2
AND ($3::bigint IS NULL OR version = $3) AND (until IS NULL OR until > {schema}.clock()) RETURNING version

-- name: one
SELECT text, version FROM {schema}.record WHERE space = $1 AND key = $2 AND (until IS NULL OR until > {schema}.clock())

-- name: all
SELECT key, text, version FROM {schema}.record
WHERE space = $1 AND (until IS NULL OR until > {schema}.clock()) ORDER BY key

-- name: some
SELECT key, text, version FROM {schema}.record
WHERE space = $1 AND key = ANY($2::text[]) AND (until IS NULL OR until > {schema}.clock()) ORDER BY key
