-- The store's clock, in microseconds since 1970.
-- Input: held: an instant as a number, or the expression that reads the real clock. Output: two functions.
-- Relies on: nothing; tests replace `clock` to hold time, so holding costs nothing otherwise.

-- name: clock
CREATE OR REPLACE FUNCTION {schema}.clock() RETURNS bigint LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT {reading}
$$

-- name: real
(extract(epoch FROM clock_timestamp()) * 1000000)::bigint

-- name: now
SELECT {schema}.clock()
