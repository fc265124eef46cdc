-- Ends of attempts, and what an ended job sets free.
-- name: complete_all
update {job} set state = {to:complete}, result = f.result, finished_at = ?2, started_at = ?2 - f.took, settled = {job}.lease,
  attempt = attempt + 1, reason = null, line = null
from (select value ->> 0 as id, value ->> 1 as lease, value ->> 2 as result, value ->> 3 as took from json_each(?1)) as f
where {job}.id = f.id and {job}.lease = f.lease and {job}.state = {state:active}
  and {job}.cancelling is null
-- name: complete_bare
update {job} set state = {to:complete}, result = null, finished_at = ?2, started_at = ?2 - f.value, settled = {job}.lease,
  attempt = attempt + 1, reason = null, line = null
from json_each(?1) as f
where {job}.id = f.key and {job}.lease = ?3 + 0 and {job}.state = {state:active} and {job}.cancelling is null
-- name: places_of
select id, n from {job} where id in (select value from json_each(?))
-- name: attempts
select id, n, queue, state, lease, settled, attempt, trail, cancelling, run_at, priority, line, 
  coalesce((select revivals from {ledger} where job = n), 0)
from {job}
where id in (select value from json_each(?))
-- name: complete_one
update {job} set state = {to:complete}, result = ?2, finished_at = ?3, started_at = ?3 - ?4, settled = lease,
  attempt = attempt + ?5, rescues = rescues + ?6, reason = null, cancelling = null, line = null
where n = ?1
-- name: end_one
update {job} set state = ?2, error = coalesce(?3, error), reason = ?4, finished_at = ?5, trail = ?6, settled = lease,
  attempt = attempt + ?7, rescues = rescues + ?8, cancelling = null, parked = null, line = null
where n = ?1
-- name: add_cost
insert into {ledger} (job, cost)
select n, spent.value from json_each(?1) as spent cross join {job} on {job}.id = spent.key where true
on conflict (job) do update set cost = cost + excluded.cost
-- name: bury
insert into {ledger} (job, failed_at, fingerprint, next_retry_at, id)
select n, ?2, coalesce(?3, {error_fingerprint}), ?4, id from {job} where n in (select value from json_each(?1))
on conflict (job) do update set failed_at = excluded.failed_at, fingerprint = excluded.fingerprint,
  next_retry_at = excluded.next_retry_at, id = excluded.id
-- name: give_back
update {job} set state = ?2, error = coalesce(?3, error), reason = ?4, run_at = ?5, trail = ?6, settled = lease,
  attempt = attempt + ?7, rescues = rescues + ?8, parked = ?9, worker = null, lease_until = null, line = null
where n = ?1
-- name: suspend
update {job} set signal = ?2, reason = ?3, expires_at = null where n = ?1
-- name: add_tally
insert into {tally} (minute, queue, kind, name, bucket, value) values (?1, ?2, ?3, ?4, ?5, ?6)
on conflict (minute, queue, kind, name, bucket) do update set value = value + excluded.value
-- name: spool
insert into {spool} (k, minute, items) select coalesce(max(k), 0) + ?3, ?1, ?2 from {spool}
-- name: spooled
select minute, items from {spool} order by k
-- name: empty_spool
delete from {spool}
-- name: gates
select flag, awake, exists (select 1 from {edge}) or exists (select 1 from {adrift}) or exists (select 1 from {uniq})
from {counter} where name = 'seq'
-- name: any_edge
select exists (select 1 from {edge}) or exists (select 1 from {adrift})
-- name: drop_edges_into
delete from {edge} where child in (select value from json_each(?))
-- name: drop_adrift_into
delete from {adrift} where child in (select value from json_each(?))
-- name: edges_of
select child, on_failure from {edge} where parent = ?1 + 0 and (?2 or on_failure <> 'hold') order by child limit ?3 + 0
-- name: edges_of_all
select parent, child, on_failure from {edge} where parent in (select value from json_each(?1)) limit ?2 + 0
-- name: drop_edges_of_all
delete from {edge} where parent in (select value from json_each(?1))
-- name: drop_edges
delete from {edge} where parent = ?1 and child in (select value from json_each(?2))
-- name: drop_edges_up_to
delete from {edge} where parent = ?1 and child <= ?2
-- name: cut_edges
insert or replace into {cut} (parent, child, on_failure, cause)
select parent, child, on_failure, 0 from {edge} where child in (select value from json_each(?))
-- name: cut_cause
insert or replace into {cut} (parent, child, on_failure, cause)
select ?1, n, ?3, 1 from {job} where n in (select value from json_each(?2))
-- name: blocked
select n, waits, queue, run_at from {job} where n in (select value from json_each(?)) and state = {state:blocked}
-- name: wait_for
update {job} set waits = ?2 where n = ?1
-- name: release
update {job} set waits = max(waits - ?4, 0),
  state = iif(waits > ?4, state, iif(run_at > ?2, {state:delayed}, {state:waiting})),
  ord = iif(waits > ?4, ord, ((100 - priority) << 45) | (?3 + free.key)),
  run_at = iif(waits > ?4, run_at, max(run_at, ?2))
from json_each(?1) as free where {job}.n = free.value and state = {state:blocked}
returning n, queue, state
-- name: doomed
select n, id, queue from {job} where n in (select value from json_each(?)) and state = {state:blocked}
-- name: doom
update {job} set state = ?2, reason = ?3, finished_at = ?4, waits = 0 where n in (select value from json_each(?1))
-- name: put_settle
insert or ignore into {settle} (parent, id, state) values (?, ?, ?)
-- name: take_settle
select parent, id, state from {settle} order by parent limit 1
-- name: drop_settle
delete from {settle} where parent = ?
-- name: any_settle
select exists (select 1 from {settle})
