-- Storing jobs: rows, tags, edges, unique keys.
-- name: insert_job
insert into {job} (n, id, state, queue, kind, runtime, ord, priority, max_attempts, waits, created_at, run_at, expires_at,
  ukey, umode, user, project, grp, workflow, name, tags, parents, options, args)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
-- name: insert_plain
insert into {job} (n, id, state, queue, kind, runtime, ord, priority, max_attempts, created_at, run_at, expires_at, user, project,
  grp, workflow, name, tags, options, args)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
-- name: insert_lined
insert into {job} (n, id, state, queue, kind, runtime, ord, priority, max_attempts, waits, created_at, run_at, expires_at,
  ukey, umode, user, project, grp, workflow, name, tags, parents, options, args, line, bounds, weight)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
-- name: insert_tag
insert or ignore into {tag} (tag, job) values (?, ?)
-- name: drop_tags
delete from {tag} where job = ?
-- name: insert_queue
insert or ignore into {queue} (name) values (?)
-- name: known_ids
select id from {job} where id in (select value from json_each(?))
-- name: places
select id, n, state from {job} where id in (select value from json_each(?))
-- name: insert_edge
insert into {edge} (parent, child, on_failure) values (?, ?, ?)
-- name: join
update {job} set waits = waits + 1 where id = ?2 and state = {state:blocked} and signal is null
  and not exists (select 1 from {edge} where parent = ?1 and child = {job}.n) returning n
-- name: replaceable
select n, state, queue, ord, created_at from {job}
where id = ? and state in ({state:blocked}, {state:delayed}, {state:waiting}) and signal is null
-- name: replace
update {job} set args = ?2, options = ?3, priority = ?4, ord = ?5, tags = ?6, run_at = ?7, max_attempts = ?8, state = ?9,
  weight = ?10, bounds = ?11, line = null
where n = ?1
-- name: answer
update {job} set result = ?2, finished_at = ?3, run_at = ?3 where n = ?1
-- name: set_parents
update {job} set waits = ?2, parents = ?3 where n = ?1
