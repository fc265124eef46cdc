-- The dead letters: failed jobs with their error groups and next retries.
-- Input: job ids whose rows the caller has locked. Output: none; groups.
-- Relies on: whoever lets a job come to `failed` or leave it calling `bury` and `unbury` in the same transaction.

-- name: routine
-- The fingerprint in an error's text. Not read as JSON: that refuses texts with \u0000. A quote inside a text is escaped, so the
-- pattern only meets the field itself.
CREATE OR REPLACE FUNCTION {schema}.fingerprint_of(error text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(substring(error FROM '"fingerprint":"([^"\\]*)"'), '')
$$;

-- Those of these jobs that are failed.
CREATE OR REPLACE FUNCTION {schema}.bury(ids text[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO {schema}.dead (job, fingerprint, at)
    SELECT id, {schema}.fingerprint_of(error), finished_at FROM {schema}.job WHERE id = ANY(ids) AND state = {state:failed}
    ON CONFLICT (job) DO NOTHING
$$;

CREATE OR REPLACE FUNCTION {schema}.unbury(ids text[]) RETURNS void LANGUAGE sql AS $$
    DELETE FROM {schema}.dead WHERE job = ANY(ids)
$$;

-- name: groups
WITH g AS MATERIALIZED (
    SELECT fingerprint, count(*) AS n, min(at) AS first, max(at) AS last FROM {schema}.dead
    GROUP BY fingerprint ORDER BY n DESC, last DESC, fingerprint LIMIT $1
)
SELECT g.fingerprint, g.n, g.first, g.last, (
    SELECT d.job FROM {schema}.dead d WHERE d.fingerprint = g.fingerprint AND d.at = g.last ORDER BY d.job DESC LIMIT 1
) AS sample FROM g ORDER BY g.n DESC, g.last DESC, g.fingerprint

-- name: archive
UPDATE {schema}.dead SET retry_at = NULL WHERE job IN (
    SELECT job FROM {schema}.dead WHERE retry_at IS NOT NULL AND at <= {schema}.clock() - $1::bigint
    ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED
) RETURNING job

-- name: write
-- A dead letter as it was elsewhere.
INSERT INTO {schema}.dead (job, fingerprint, at, retry_at)
SELECT j.id, $2::text, coalesce(j.finished_at, {schema}.clock()), $3::bigint FROM {schema}.job j WHERE j.id = $1 AND j.state = {state:failed}
ON CONFLICT (job) DO NOTHING
