-- Operators' acts: on jobs, queues, schedules and small records.
-- name: targets
select n, id, queue, state, priority, ord, ukey, umode, cancelling from {job} where n in (select value from json_each(?))
-- name: has_dependents
select exists (select 1 from {edge} where parent = ?)
-- name: flag
update {job} set cancelling = ?2 where n = ?1
-- name: requeue
update {job} set state = {to:requeue}, ord = ?2, run_at = ?3, attempt = case when ?4 then attempt else 0 end,
  rescues = 0, waits = 0, result = null, error = null, reason = null, started_at = null, finished_at = null, progress = null,
  note = null, worker = null, lease_until = null, parked = null, cancelling = null,
  expires_at = case when expires_at > ?3 then expires_at end
where n = ?1
-- name: run_now
update {job} set state = {to:promote}, ord = ?2, run_at = ?3 where n = ?1
-- name: reprioritise
update {job} set priority = ?2, ord = ?3 where n = ?1
-- name: queue_row
select name, paused, paused_at from {queue} where name = ?
-- name: put_queue
insert into {queue} (name, paused, paused_at) values (?1, ?2, ?3)
on conflict (name) do update set paused = excluded.paused, paused_at = excluded.paused_at
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
select key, text, version from {record} where space = ?1 and (until is null or until > ?2) order by key
-- name: records_of
select key, text, version from {record}
where space = ?1 and key in (select value from json_each(?3)) and (until is null or until > ?2) order by key
