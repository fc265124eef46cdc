-- Fans: a completion settles dependents in steps, each of which passes over what the steps before it have deleted of these tables.
-- The functions that the version before calls stay (sql/previous.sql).

ALTER TABLE {schema}.edge SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE {schema}.settle SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
