-- Steps of durable handlers and the signals they wait for.
-- Input: a step under a lease that the caller has checked and locked; a signal for a job. Output: the data that was taken;
--   what became of the signal.
-- Relies on: the lock on the job's row, which everybody who looks into its box and may put it to sleep or wake it takes first.

-- name: routine
-- Writes steps in order; each that asks for a signal takes the oldest of that name. What is done stays so: a note of the same name
-- that is not done, or asks for a signal, is a repeat and hears the value on record. Output: numbers and data of those that got one.
CREATE OR REPLACE FUNCTION {schema}.note_steps(
    jobs text[], positions integer[], names text[], "values" text[], dones boolean[], signals text[]
) RETURNS TABLE (n integer, data text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    at bigint := {schema}.clock(); found_data text;
BEGIN
    FOR i IN 1..cardinality(jobs) LOOP
        found_data := NULL;
        IF signals[i] IS NOT NULL OR NOT dones[i] THEN
            SELECT s.value INTO found_data FROM {schema}.step s
            WHERE s.job = jobs[i] AND s.position = positions[i] AND s.name = names[i] AND s.done;
            IF FOUND THEN
                IF signals[i] IS NOT NULL AND found_data IS NOT NULL THEN
                    n := i;
                    data := found_data;
                    RETURN NEXT;
                END IF;
                CONTINUE;
            END IF;
        END IF;
        IF signals[i] IS NOT NULL THEN
            DELETE FROM {schema}.box b WHERE b.job = jobs[i] AND b.n = (
                SELECT o.n FROM {schema}.box o WHERE o.job = jobs[i] AND o.name = signals[i] ORDER BY o.n LIMIT 1
            ) RETURNING b.data INTO found_data;
        END IF;
        INSERT INTO {schema}.step (job, position, name, value, done, at, attempt)
        SELECT j.id, positions[i], names[i], coalesce(found_data, "values"[i]), found_data IS NOT NULL OR dones[i], at, j.attempt + 1
        FROM {schema}.job j WHERE j.id = jobs[i]
        ON CONFLICT (job, position) DO UPDATE SET
            name = excluded.name, value = excluded.value, done = excluded.done, at = excluded.at, attempt = excluded.attempt;
        IF found_data IS NOT NULL THEN
            n := i;
            data := found_data;
            RETURN NEXT;
        END IF;
    END LOOP;
END $$;

-- Hands a signal to a job: woken, kept, over, unknown; or full.
CREATE OR REPLACE FUNCTION {schema}.hand_over(id text, signal text, data text, most integer) RETURNS text LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    it record;
BEGIN
    SELECT j.state, j.signal INTO it FROM {schema}.job j WHERE j.id = id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'unknown';
    ELSIF it.state IN ({any:final}) THEN
        RETURN 'over';
    ELSIF it.signal IS DISTINCT FROM signal AND (SELECT count(*) FROM {schema}.box b WHERE b.job = id) >= most THEN
        RETURN 'full';
    END IF;
    INSERT INTO {schema}.box (job, name, data) VALUES (id, signal, data);
    IF it.signal IS DISTINCT FROM signal THEN
        RETURN 'kept';
    END IF;
    PERFORM {schema}.wake(ARRAY[id], {schema}.clock());
    PERFORM {schema}.happen({to:signal}, ARRAY[id], {schema}.clock());
    RETURN 'woken';
END $$;

-- name: note
SELECT n, data FROM {schema}.note_steps($1, $2, $3, $4, $5, $6)

-- name: hand_over
SELECT {schema}.hand_over($1, $2, $3, $4)

-- name: steps
SELECT position, name, value, done, at, attempt FROM {schema}.step WHERE job = $1 ORDER BY position
