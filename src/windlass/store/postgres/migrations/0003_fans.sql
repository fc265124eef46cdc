-- Fans: a completion settles dependents in steps, each of which passes over what the steps before it have deleted of these tables.
-- The functions that the version before calls stay (sql/previous.sql).

ALTER TABLE {schema}.edge SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE {schema}.settle SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- What a finish adds to the sums lies here for a moment: to pack it costs more than to write it as it is.
ALTER TABLE {schema}.batch SET (toast_tuple_target = 8160);
