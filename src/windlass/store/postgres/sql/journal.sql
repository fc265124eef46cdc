-- The journal: what happened, written while somebody listens.
-- Input: events with ids; a reader's cursor (snapshots as text, and a position). Output: entries, and where to go on.
-- Relies on: a transaction's entries being visible from one snapshot on and in all later ones, whenever it began. A reader has
--   seen the snapshot `seen`; of `upto` it has seen the entries up to a position.

-- name: routine
CREATE OR REPLACE FUNCTION {schema}.happen(what text, ids text[], at bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF {awake} AND cardinality(ids) > 0 THEN
        INSERT INTO {schema}.journal (at, event, ids, count) VALUES (happen.at, what, ids[:100], cardinality(ids));
    END IF;
END $$;

-- The same for a statement that wants a number: 0.
CREATE OR REPLACE FUNCTION {schema}.told(what text, ids text[], at bigint) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    PERFORM {schema}.happen(what, ids, at);
    RETURN 0;
END $$;

-- The same with the states that these jobs are in now.
CREATE OR REPLACE FUNCTION {schema}.happened(ids text[], at bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF {awake} THEN
        INSERT INTO {schema}.journal (at, event, ids, count)
        SELECT happened.at, j.state, (array_agg(j.id ORDER BY j.id))[:100], count(*)
        FROM {schema}.job j WHERE j.id = ANY(happened.ids) GROUP BY j.state;
    END IF;
END $$;

-- Drops what is too old or too much, and remembers the newest transaction of which something was dropped. One at a time.
CREATE OR REPLACE FUNCTION {schema}.trim_journal(at bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    newest bigint := (SELECT max(n) FROM {schema}.journal);
BEGIN
    IF newest IS NULL OR NOT EXISTS (
        SELECT FROM (SELECT o.n, o.at FROM {schema}.journal o ORDER BY o.n LIMIT 1) o
        WHERE o.n <= newest - 20000 OR o.at < trim_journal.at - 600000000
    ) OR NOT pg_try_advisory_xact_lock(hashtextextended('windlass journal {plain_schema}', 0)) THEN
        RETURN;
    END IF;
    WITH gone AS (
        DELETE FROM {schema}.journal WHERE n IN (
            SELECT o.n FROM (SELECT o.n, o.at FROM {schema}.journal o ORDER BY o.n LIMIT 20000) o
            WHERE o.n <= newest - 20000 OR o.at < trim_journal.at - 600000000
        ) RETURNING xid::text::bigint AS xid
    )
    INSERT INTO {schema}.mark AS m (name, at, until) SELECT 'journal', max(xid), 0 FROM gone HAVING count(*) > 0
    ON CONFLICT (name) DO UPDATE SET at = greatest(m.at, excluded.at);
END $$;

-- name: wake
-- Moves the mark, at most once a minute. `lapsed`: nobody was listening. `home`: which journal it is, should it have been erased and made anew.
WITH t AS MATERIALIZED (SELECT {schema}.clock() AS now, pg_sequence_last_value('{schema}.awake'::regclass) AS until)
SELECT now, until IS NULL OR until <= now OR until > now + 300000000 AS lapsed,
       CASE WHEN until IS NULL OR until <= now + 240000000 OR until > now + 300000000
            THEN setval('{schema}.awake', now + 300000000) END AS moved,
       {schema}.trim_journal(now), '{schema}.journal'::regclass::oid::bigint AS home
FROM t

-- name: here
SELECT pg_current_snapshot()::text

-- name: read
-- A cursor is lost if it has not seen what was dropped, or may not have: a transaction that was open at `seen`, has ended since, and
-- is older than the newest that was dropped.
WITH c AS MATERIALIZED (
    SELECT $1::text::pg_snapshot AS seen, coalesce($2::text::pg_snapshot, pg_current_snapshot()) AS upto, pg_current_snapshot() AS now,
           (SELECT m.at::text::xid8 FROM {schema}.mark m WHERE m.name = 'journal') AS gone
)
SELECT c.upto::text AS upto, pg_snapshot_xmax(c.seen) > pg_snapshot_xmax(c.now) OR c.gone IS NOT NULL AND (
           NOT pg_visible_in_snapshot(c.gone, c.seen)
           OR EXISTS (SELECT FROM pg_snapshot_xip(c.seen) x WHERE x <= c.gone AND pg_visible_in_snapshot(x, c.now))
       ) AS lost, j.n, j.at, j.event, j.ids, j.count
FROM c LEFT JOIN LATERAL (
    SELECT * FROM {schema}.journal j
    WHERE j.xid >= pg_snapshot_xmin(c.seen) AND NOT pg_visible_in_snapshot(j.xid, c.seen)
      AND pg_visible_in_snapshot(j.xid, c.upto) AND j.n > $3
    ORDER BY j.n LIMIT $4
) j ON true ORDER BY j.n

-- name: happen
SELECT {schema}.happen($1::text, $2::text[], {schema}.clock())

-- name: happened
SELECT {schema}.happened($1::text[], {schema}.clock())
