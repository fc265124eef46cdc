-- Whole jobs on their way to or from another engine.
-- name: dump
select n, ord, parked, umode, bounds, weight, signal, {record_columns} from {job}
where id > ?1 and (state in ({any:live}) or state = {state:failed} or n in (select parent from {edge}))
order by id limit ?2 + 0
-- name: dump_edges
select e.child, p.id, e.on_failure from {edge} as e join {job} as p on p.n = e.parent
where e.child in (select value from json_each(?1))
union all select child, parent, on_failure from {adrift} where child in (select value from json_each(?1))
-- name: dump_keys
select u.holder, u.key, u.mode, u.until, j.created_at from {uniq} as u join {job} as j on j.id = u.holder
where j.n in (select value from json_each(?1))
union all select u.follower, u.key, u.follower_mode, u.follower_until, j.created_at from {uniq} as u
join {job} as j on j.id = u.follower where u.follower is not null and j.n in (select value from json_each(?1))
-- name: dump_steps
select job, position, name, value, done, at, attempt from {step} where job in (select value from json_each(?1))
order by job, position
-- name: dump_mail
select job, name, data from {mail} where job in (select value from json_each(?1)) order by job, k
-- name: load_job
insert into {job} (n, id, kind, queue, runtime, priority, args, result, error, reason, attempt, max_attempts, rescues,
  trail, created_at, run_at, started_at, finished_at, expires_at, progress, note, worker, lease, tags, user, project,
  grp, workflow, name, ukey, parents, options, state, ord, waits, parked, umode, bounds, weight,
  signal)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
-- name: load_ledger
insert into {ledger} (job, cost, revivals, next_retry_at, failed_at, fingerprint, id) values (?, ?, ?, ?, ?, ?, ?)
-- name: walk_again
update {walk} set at = ?1, job = 0 where at >= ?1
-- name: insert_adrift
insert or ignore into {adrift} (parent, child, on_failure) values (?, ?, ?)
-- name: count_to
update {counter} set n = max(n, ?2) where name = ?1
-- name: arrived_edges
insert or ignore into {edge} (parent, child, on_failure)
select p.n, a.child, a.on_failure from {adrift} as a join {job} as p on p.id = a.parent
where a.parent in (select value from json_each(?1))
  or a.child in (select n from {job} where id in (select value from json_each(?1)))
-- name: arrived_drop
delete from {adrift} where parent in (select value from json_each(?1))
  or (child in (select n from {job} where id in (select value from json_each(?1)))
      and parent in (select id from {job}))
-- name: settle_arrived
insert or ignore into {settle} (parent, id, state)
select n, id, state from {job} where state in ({any:final}) and n in (
  select parent from {edge} where child in (select n from {job} where id in (select value from json_each(?1)))
  union all select n from {job} where id in (select value from json_each(?1)) and n in (select parent from {edge}))
