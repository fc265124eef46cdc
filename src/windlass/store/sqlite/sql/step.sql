-- What running attempts tell of themselves: progress, log lines, steps; and the signals that others send to jobs.
-- name: put_progress
update {job} set progress = ?3, note = ?4 where id = ?1 and lease = ?2 and state = {state:active}
-- name: noting
select n, attempt from {job} where id = ?1 and lease = ?2 and state = {state:active}
-- name: put_line
insert into {log} (job, at, attempt, level, text) values (?, ?, ?, ?, ?)
-- name: trim_log
delete from {log} where job = ?1 + 0 and k <= (select k from {log} where job = ?1 + 0 order by k desc limit 1 offset ?2)
-- name: put_step
insert into {step} (job, position, name, value, done, at, attempt) values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
on conflict (job, position) do update set name = excluded.name, value = excluded.value, done = excluded.done,
  at = excluded.at, attempt = excluded.attempt
-- name: step_on_record
select value from {step} where job = ?1 and position = ?2 and name = ?3 and done
-- name: steps
select position, name, value, done, at, attempt from {step} where job = (select n from {job} where id = ? || '') order by position
-- name: oldest_mail
select k, data from {mail} where job = ?1 + 0 and name = ?2 || '' order by k limit 1
-- name: drop_mail
delete from {mail} where k = ?
-- name: put_mail
insert into {mail} (job, name, data) values (?1, ?2, ?3)
-- name: mail_kept
select count(*) from {mail} where job = ?
-- name: any_mail
select exists (select 1 from {mail} where job = ?1 and name = ?2)
-- name: addressee
select n, state, queue, priority, signal from {job} where id = ?
-- name: wake
update {job} set state = {to:signal}, signal = null, reason = null, ord = ?2, run_at = coalesce(?3, run_at) where n = ?1
-- name: delete_steps
delete from {step} where job in (select value from json_each(?))
-- name: delete_mail
delete from {mail} where job in (select value from json_each(?))
