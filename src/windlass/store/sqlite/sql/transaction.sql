-- What every transaction may need: counters, sums, audit.
-- name: count_on
update {counter} set n = n + ?2 where name = ?1 returning n, flag, awake
-- name: flow
select flag from {counter} where name = 'seq'
-- name: set_flow
update {counter} set flag = 1 where name = 'seq'
-- name: awake
select awake from {counter} where name = 'seq'
-- name: counter
select n from {counter} where name = ?
-- name: set_counter
insert into {counter} (name, n) values (?1, ?2) on conflict (name) do update set n = excluded.n
-- name: add_count
update {count} set n = n + ?3 where queue = ?1 and state = ?2
-- name: new_count
insert into {count} (queue, state, n) values (?1, ?2, ?3)
-- name: add_audit
insert into {audit} (at, actor, action, target, detail) values (?, ?, ?, ?, ?)
-- name: breaking_since
select max(version) from {migration} where breaking = 1 and version > ?
