-- Operators' acts: on jobs, queues, schedules and small records.
-- name: targets
select n, id, queue, state, priority, ord, ukey, umode, cancelling, signal from {job} where n in (select value from json_each(?))
-- name: with_dependents
select value from json_each(?) where exists (select 1 from {edge} where parent = value)
-- name: flag
update {job} set cancelling = ?2 where n = ?1
-- name: requeue
update {job} set state = {to:requeue}, ord = ?2, run_at = ?3, attempt = case when ?4 then attempt else 0 end,
  rescues = 0, waits = 0, result = null, error = null, reason = null, started_at = null, finished_at = null, progress = null,
  note = null, worker = null, lease_until = null, parked = null, cancelling = null,
  expires_at = case when expires_at > ?3 then expires_at end, args = coalesce(?5, args),
  max_attempts = coalesce(?6, max_attempts)
where n = ?1
-- name: exhume
update {ledger} set failed_at = null, fingerprint = null, next_retry_at = null, id = null, revivals = iif(?2, 0, revivals)
where job in (select value from json_each(?1))
-- name: count_revival
insert into {ledger} (job, revivals) select value, 1 from json_each(?) where true
on conflict (job) do update set revivals = revivals + 1
-- name: edit
update {job} set args = coalesce(?2, args), max_attempts = coalesce(?3, max_attempts), run_at = coalesce(?4, run_at) where n = ?1
-- name: any_cut
select exists (select 1 from {cut})
-- name: drop_cut_into
delete from {cut} where child in (select value from json_each(?))
-- name: cut_into
select c.child, c.parent, c.on_failure, p.state, j.queue from {cut} as c
join {job} as p on p.n = c.parent join {job} as j on j.n = c.child
where c.child in (select value from json_each(?)) and p.state <> {state:completed} order by c.child, c.parent
-- name: block
update {job} set state = {to:revive}, waits = ?2, line = null where n = ?1
-- name: ended_by
select j.n, j.id, j.queue, j.state, j.priority, j.ukey, j.umode from {cut} as c join {job} as j on j.n = c.child
where c.parent = ?1 + 0 and c.cause = 1 and j.state in ({from:revive}) order by j.n limit ?2 + 0
-- name: not_by
update {cut} set cause = 0 where parent = ?1 and child = ?2
-- name: put_revive
insert or ignore into {revive} (parent) values (?)
-- name: take_revive
select r.parent, j.state from {revive} as r left join {job} as j on j.n = r.parent order by r.parent limit 1
-- name: drop_revive
delete from {revive} where parent = ?
-- name: any_revive
select exists (select 1 from {revive})
-- name: run_now
update {job} set state = {to:promote}, ord = ?2, run_at = ?3, reason = iif(signal is null, reason, null), signal = null
where n = ?1
-- name: reprioritise
update {job} set priority = ?2, ord = ?3 where n = ?1
-- name: queue_row
select name, paused, paused_at, sort, ageing from {queue} where name = ?
-- name: put_queue
insert into {queue} (name, paused, paused_at, sort, ageing) values (?1, ?2, ?3, ?4, ?5)
on conflict (name) do update set paused = excluded.paused, paused_at = excluded.paused_at, sort = excluded.sort,
  ageing = excluded.ageing
-- name: put_schedule
insert into {schedule} (key, spec, owner, due, paused, last_due, last_job, fired) values (?, ?, ?, ?, ?, ?, ?, ?)
on conflict (key) do update set spec = excluded.spec, owner = excluded.owner, due = excluded.due, paused = excluded.paused
-- name: drop_schedule
delete from {schedule} where key = ?
-- name: schedules
select key, spec, owner, due, paused, last_due, last_job, fired from {schedule} order by key
-- name: due_schedules
select key, spec, owner, due, paused, last_due, last_job, fired from {schedule}
where paused = 0 and due is not null and due < ? order by due, key
-- name: fire
update {schedule} set due = ?3, last_due = ?2 where key = ?1 and due = ?2
-- name: fired
update {schedule} set last_job = ?2, fired = fired + 1 where key = ?1
-- name: record
select text, version from {record} where space = ?1 and key = ?2 and (until is null or until > ?3)
-- name: put_record
insert into {record} (space, key, text, version, until) values (?1, ?2, ?3, ?4, ?5)
on conflict (space, key) do update set text = excluded.text, version = excluded.version, until = excluded.until
-- name: drop_record
delete from {record} where space = ? and key = ?
-- name: records
select key, text, version from {record} where space = ?1 || '' and (until is null or until > ?2) order by key
-- name: records_of
select key, text, version from {record}
where space = ?1 || '' and key in (select value from json_each(?3)) and (until is null or until > ?2) order by key
