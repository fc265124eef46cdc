-- Commits how attempts ended, for those whose lease still is the job's.
-- Input: an array per fact. Output: the ids accepted, and whether jobs became waiting.
-- `complete` takes all or nothing: if one lease is gone it fails with WL409, and the caller takes `finish`.
-- Relies on: `settle` for dependents. Locks: jobs, in the order of the arrays (sorted by the caller).
--   "Active" is said as `lease_until IS NOT NULL`, here and in heartbeat.sql: said by its state, a plan made after an ANALYZE that met
--   no active job starts from the index job_leased, which under an old snapshot holds every lease ever given (25,000 -> 170 jobs/s).

-- name: routine
-- An array with one value, as the array that has it for each of these; any other as it is.
CREATE OR REPLACE FUNCTION {schema}.each_of(names text[], all_of bigint[]) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN cardinality(names) = 1 THEN array_fill(names[1], ARRAY[cardinality(all_of)]) ELSE names END
$$;

-- The hot road: every item completes, and the caller has summed the tallies of all of them. `budget`: dependents to settle. `more`: others
-- are left, for the caller to go on with.
CREATE OR REPLACE FUNCTION {schema}.complete(
    ids text[], leases bigint[], results text[], tooks bigint[], spends boolean[],
    t_queues text[], t_kinds text[], t_names text[], t_buckets integer[], t_values bigint[], spents bigint[], budget integer,
    OUT readied boolean, OUT at bigint, OUT more boolean
) LANGUAGE plpgsql AS $$
DECLARE
    parents text[]; keyed text[]; holders text[]; taken integer;
BEGIN
    at := {schema}.clock();
    WITH done AS (
        UPDATE {schema}.job j SET
            state = {to:complete}, settled = j.lease, lease_until = NULL, finished_at = at, started_at = at - tooks[f.n],
            attempt = attempt + CASE WHEN spends[f.n] IS FALSE THEN 0 ELSE 1 END, result = results[f.n], reason = NULL,
            cancelling = NULL, cost = CASE WHEN spents IS NULL THEN cost ELSE coalesce(cost, 0) + coalesce(spents[f.n], 0) END
        -- Not generate_series: expected to give a thousand rows, it makes a plan begin at all jobs that was made after an ANALYZE which met
        -- no active one (a third of a drain was lost to it).
        FROM unnest(ids) WITH ORDINALITY f(id, n)
        WHERE j.id = f.id AND j.lease = leases[f.n] AND j.lease_until IS NOT NULL
        RETURNING j.id, j.queue, j.unique_ IS NOT NULL AS has_key, j.keys IS NOT NULL AS has_slots, j.dependents
    ),
    told AS (
        INSERT INTO {schema}.delta (queue, state, n)
        SELECT c.queue, s.state, s.sign * c.n FROM (SELECT queue, count(*) AS n FROM done GROUP BY queue) c,
        (VALUES ({state:active}, -1), ({to:complete}, 1)) s(state, sign)
    )
    SELECT count(*), array_agg(id) FILTER (WHERE dependents), array_agg(id) FILTER (WHERE has_key),
           array_agg(id) FILTER (WHERE has_slots)
    INTO taken, parents, keyed, holders FROM done;
    IF taken <> cardinality(ids) THEN
        RAISE EXCEPTION 'some of these leases are gone' USING ERRCODE = 'WL409';
    END IF;
    IF keyed IS NOT NULL THEN
        PERFORM {schema}.free_keys(keyed);
    END IF;
    IF holders IS NOT NULL THEN
        PERFORM {schema}.give_back(holders);
        readied := true;
    END IF;
    INSERT INTO {schema}.batch VALUES (
        at - at % 60000000, {schema}.each_of(t_queues, t_values), {schema}.each_of(t_kinds, t_values), t_names, t_buckets, t_values
    );
    IF {awake} THEN
        PERFORM {schema}.happen({to:complete}, ids, at);
    END IF;
    IF parents IS NOT NULL THEN
        SELECT s.readied OR complete.readied IS TRUE, s.more INTO readied, more FROM {schema}.settle(budget, parents, at, true) s;
    END IF;
END $$;

-- Any ends. `follows`: follow-up jobs are stored next, and the caller settles after that. Retry, snooze and release of a job that was asked to stop end it.
CREATE OR REPLACE FUNCTION {schema}.finish(
    ids text[], leases bigint[], events text[], results text[], errors text[], trails text[], reasons text[], delays bigint[],
    spends boolean[], rescued boolean[], parks text[], tooks bigint[], signals text[], follows boolean, spents bigint[],
    fingerprints text[], ladders text[],
    OUT accepted text[], OUT under bigint[], OUT parents text[], OUT readied boolean, OUT at bigint
) LANGUAGE plpgsql AS $$
DECLARE
    freeing text[]; failed text[]; stopped text[]; asleep text[]; holders text[]; again text[]; back boolean;
BEGIN
    at := {schema}.clock();
    WITH done AS (
        UPDATE {schema}.job j SET
            state = CASE f.event
                WHEN 'complete' THEN {to:complete} WHEN 'fail' THEN {to:fail} WHEN 'abort' THEN {to:abort}
                ELSE CASE WHEN j.cancelling IS NOT NULL THEN {to:cancel} WHEN f.event = 'retry' THEN {to:retry}
                          WHEN f.event = 'suspend' THEN {to:suspend}
                          WHEN f.event = 'snooze' OR f.delay > 0 THEN {to:snooze} ELSE {to:release} END END,
            settled = f.lease, lease_until = NULL,
            run_at = CASE WHEN f.event = 'suspend' AND f.delay = 0 THEN {end_of_time}
                          WHEN f.event IN ('retry', 'snooze') OR f.event IN ('release', 'suspend') AND f.delay > 0 THEN at + f.delay
                          ELSE j.run_at END,
            finished_at = CASE WHEN f.event IN ('complete', 'fail', 'abort') OR j.cancelling IS NOT NULL THEN at END,
            started_at = CASE WHEN f.event = 'complete' THEN at - f.took ELSE j.started_at END,
            attempt = j.attempt + CASE WHEN f.spends THEN 1 ELSE 0 END,
            rescues = j.rescues + CASE WHEN f.rescued THEN 1 ELSE 0 END,
            worker = CASE WHEN f.event IN ('retry', 'snooze', 'release', 'suspend') THEN NULL ELSE j.worker END,
            park = CASE WHEN f.event = 'release' AND j.cancelling IS NULL THEN f.park END,
            signal = CASE WHEN f.event = 'suspend' AND j.cancelling IS NULL THEN coalesce(f.signal, '') END,
            result = CASE WHEN f.event = 'complete' THEN f.result ELSE j.result END,
            error = coalesce(f.error, j.error),
            reason = CASE WHEN f.event = 'complete' THEN NULL WHEN f.event IN ('fail', 'abort') THEN f.reason
                          WHEN j.cancelling IS NULL AND f.event = 'suspend' THEN 'waits for ' || coalesce(f.signal, 'its time')
                          ELSE j.cancelling END,
            cancelling = NULL, cost = CASE WHEN f.spent IS NULL THEN j.cost ELSE coalesce(j.cost, 0) + f.spent END,
            trail = CASE WHEN f.event = 'complete' OR f.trail IS NULL THEN j.trail
                         ELSE {schema}.trail_with(j.trail, (j.attempt + 1) || ' ' || at || ' ' || f.trail) END
        FROM unnest(ids, leases, events, results, errors, trails, reasons, delays, spends, rescued, parks, tooks, signals, spents)
            f(id, lease, event, result, error, trail, reason, delay, spends, rescued, park, took, signal, spent)
        WHERE j.id = f.id AND j.lease = f.lease AND j.lease_until IS NOT NULL
        RETURNING j.id, j.settled, j.queue, j.state, f.event, j.unique_, j.dependents, j.finished_at IS NOT NULL AS ended,
            j.keys IS NOT NULL AS has_slots, j.bounds IS NOT NULL OR j.lane IS NOT NULL AS lined
    ),
    told AS (
        INSERT INTO {schema}.delta (queue, state, n)
        SELECT queue, {state:active}, -count(*) FROM done GROUP BY queue
        UNION ALL SELECT queue, state, count(*) FROM done GROUP BY queue, state
    )
    SELECT array_agg(id), array_agg(settled), array_agg(id) FILTER (WHERE ended AND dependents),
           array_agg(id) FILTER (WHERE ended AND unique_ IS NOT NULL), array_agg(id) FILTER (WHERE state = {to:suspend}),
           array_agg(id) FILTER (WHERE has_slots), array_agg(id) FILTER (WHERE state = {state:waiting} AND (lined OR {ruled})),
           bool_or(state = {state:waiting} OR has_slots), array_agg(id) FILTER (WHERE state = {to:fail}),
           array_agg(id) FILTER (WHERE state = {to:cancel} AND event <> 'abort')
    INTO accepted, under, parents, freeing, asleep, holders, again, back, failed, stopped FROM done;
    IF stopped IS NOT NULL THEN
        PERFORM {schema}.tally_ends(stopped, 'cancel', at);
    END IF;
    IF failed IS NOT NULL THEN
        INSERT INTO {schema}.dead (job, fingerprint, at, retry_at)
        SELECT j.id, coalesce(nullif(f.fingerprint, ''), {schema}.fingerprint_of(j.error)), finish.at,
               finish.at + (string_to_array(f.ladder, ' ')::bigint[])[coalesce(j.revivals, 0) + 1]
        FROM {schema}.job j JOIN unnest(ids, leases, fingerprints, ladders) f(id, lease, fingerprint, ladder)
            ON f.id = j.id AND f.lease = j.settled
        WHERE j.id = ANY(failed) ON CONFLICT (job) DO NOTHING;
    END IF;
    IF holders IS NOT NULL THEN
        PERFORM {schema}.give_back(holders);
    END IF;
    IF again IS NOT NULL THEN
        PERFORM {schema}.enter(again, false);
    END IF;
    IF asleep IS NOT NULL THEN
        UPDATE {schema}.job SET expires_at = NULL WHERE id = ANY(asleep) AND expires_at IS NOT NULL; -- they have started
        -- The rows are locked by now: a signal that came before is in the box, a later one finds the job suspended.
        SELECT array_agg(j.id) INTO asleep FROM {schema}.job j
        WHERE j.id = ANY(asleep) AND EXISTS (SELECT FROM {schema}.box b WHERE b.job = j.id AND b.name = j.signal);
        IF asleep IS NOT NULL THEN
            PERFORM {schema}.wake(asleep, at);
            back := true;
        END IF;
    END IF;
    PERFORM {schema}.happened(accepted, at);
    IF freeing IS NOT NULL THEN
        PERFORM {schema}.free_keys(freeing);
    END IF;
    IF parents IS NOT NULL AND NOT follows THEN
        SELECT s.readied INTO readied FROM {schema}.settle({settled}, parents, at, false) s;
    END IF;
    readied := coalesce(readied, false) OR coalesce(back, false);
END $$;

-- name: complete
SELECT readied, more FROM {schema}.complete($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, {inline_edges})

-- name: settle_on
SELECT readied, ended, more FROM {schema}.settle($1, '{}', {schema}.clock(), false)

-- name: finish
SELECT accepted, under, parents, readied, at FROM {schema}.finish($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)

-- name: tally
INSERT INTO {schema}.batch VALUES ($1, {schema}.each_of($2, $6), {schema}.each_of($3, $6), $4, $5, $6)

-- name: settled
SELECT id, settled FROM {schema}.job WHERE id = ANY($1)
