-- Who was asked to stop. It breaks nothing: workers of the version before are told of the jobs that they name.

-- Active jobs that somebody asked to stop. A table and not an index of `job`, and what no longer holds lies here until `prune`.
CREATE TABLE {schema}.flag (job text COLLATE "C" PRIMARY KEY);
INSERT INTO {schema}.flag SELECT id FROM {schema}.job WHERE state = {state:active} AND cancelling IS NOT NULL;
