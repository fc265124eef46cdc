-- Functions as programs of the previous version call them: they may work beside this one (docs/design/versions.md).
-- Input, output: as then. Relies on: the functions of this version. Goes with the version after this one.

-- name: routine
CREATE OR REPLACE FUNCTION {schema}.end_pending(ids text[], target text, why text, at bigint) RETURNS text[] LANGUAGE sql AS $$
    SELECT {schema}.end_pending(ids, target, why, at, CASE target WHEN {to:fail} THEN 'fail-by-command' ELSE 'cancel' END)
$$;

CREATE OR REPLACE FUNCTION {schema}.remove(ids text[]) RETURNS void LANGUAGE sql AS $$
    SELECT {schema}.remove(ids, false)
$$;

CREATE OR REPLACE FUNCTION {schema}.requeue(ids text[], keep boolean, at bigint) RETURNS void LANGUAGE sql AS $$
    SELECT {schema}.requeue(ids, keep, at, false, NULL, NULL)
$$;

CREATE OR REPLACE FUNCTION {schema}.complete(
    ids text[], leases bigint[], results text[], tooks bigint[], spends boolean[],
    t_queues text[], t_kinds text[], t_names text[], t_buckets integer[], t_values bigint[],
    OUT readied boolean, OUT at bigint
) LANGUAGE sql AS $$
    SELECT c.readied, c.at
    FROM {schema}.complete(ids, leases, results, tooks, spends, t_queues, t_kinds, t_names, t_buckets, t_values, NULL, {settled}) c
$$;

CREATE OR REPLACE FUNCTION {schema}.complete(
    ids text[], leases bigint[], results text[], tooks bigint[], spends boolean[],
    t_queues text[], t_kinds text[], t_names text[], t_buckets integer[], t_values bigint[], spents bigint[],
    OUT readied boolean, OUT at bigint
) LANGUAGE sql AS $$
    SELECT c.readied, c.at
    FROM {schema}.complete(ids, leases, results, tooks, spends, t_queues, t_kinds, t_names, t_buckets, t_values, spents, {settled}) c
$$;

CREATE OR REPLACE FUNCTION {schema}.finish(
    ids text[], leases bigint[], events text[], results text[], errors text[], trails text[], reasons text[], delays bigint[],
    spends boolean[], rescued boolean[], parks text[], tooks bigint[], signals text[], follows boolean,
    OUT accepted text[], OUT under bigint[], OUT parents text[], OUT readied boolean, OUT at bigint
) LANGUAGE sql AS $$
    SELECT f.accepted, f.under, f.parents, f.readied, f.at FROM {schema}.finish(
        ids, leases, events, results, errors, trails, reasons, delays, spends, rescued, parks, tooks, signals, follows, NULL, NULL, NULL
    ) f
$$;
