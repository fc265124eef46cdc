-- Looking: jobs, sums, logs. Pages are put together by selecting.py.
-- name: job
select {record_columns} from {job} where id = ?
-- name: past
select gone_at, {remains} from {past} where id = ?1 || '' and not exists (select 1 from {job} where id = ?1)
order by k desc limit 1
-- name: outcomes
select {record_columns} from {job} where id in (select value from json_each(?)) and state in ({any:final})
-- name: counts
select queue, state, n from {count} where n <> 0 order by queue, state
-- name: queues
select name, paused, paused_at, sort, ageing from {queue} order by name
-- name: workers
select info, seen_at, claimed_at from {worker} where info is not null and gone_at > ? order by id
-- name: log
select at, attempt, level, text from (
  select k, at, attempt, level, text from {log} where job = (select n from {job} where id = ?1 || '') order by k desc limit ?2 + 0
) order by k
-- name: tallies
select minute, queue, kind, name, bucket, value from {tally} where minute >= ?1 and minute < ?2
  and (?3 is null or queue in (select value from json_each(?3)))
  and (?4 is null or kind in (select value from json_each(?4)))
  and (
    iif(?5 is null, instr(name, ':') = 0, name in (select value from json_each(?5)))
    or exists (select 1 from json_each(?6) as prefix where substr(name, 1, length(prefix.value)) = prefix.value)
  )
order by minute, queue, kind, name, bucket
-- name: of_waiting
select n from {job} where state = {state:waiting} and parked is null and line is null
union all select n from {job} where state = {state:waiting} and parked is null and line is not null
union all select n from {job} where parked is not null and state = {state:waiting}
-- name: of_active
select n from {job} where state = {state:active}
-- name: of_delayed
select n from {job} where state in ({from:promote}) and state = {state:delayed}
-- name: of_retrying
select n from {job} where state in ({from:promote}) and state = {state:retrying}
-- name: of_blocked
select n from {job} where state = {state:blocked}
-- name: of_completed
select n from {job} where state in ({any:final}) and state = {state:completed}
-- name: of_failed
select n from {job} where state in ({state:failed}, {state:cancelled}) and state = {state:failed}
-- name: of_cancelled
select n from {job} where state in ({state:failed}, {state:cancelled}) and state = {state:cancelled}
-- name: ended_between
select count(*) from (
  select 1 from {job} where state in ({any:final}) and queue = ?1 || '' and state = ?2 || '' and finished_at >= ?3
  and finished_at < ?4 limit ?5 + 0
)
-- name: in_group
select count(*) from (select 1 from {ledger} where failed_at is not null and fingerprint is ?1 limit ?2 + 0)
-- name: error_groups
select fingerprint, count(*), min(failed_at) from {ledger} cross join {job} on n = job
where failed_at is not null and state = {state:failed} group by fingerprint order by 2 desc, 1 limit ? + 0
-- name: newest_of_group
select max(failed_at), {ledger}.id from {ledger} cross join {job} on n = job
where failed_at is not null and fingerprint is ? and state = {state:failed}
-- name: stands
select n, parked, line, ord, signal, bounds from {job} where id = ?
-- name: open_parents
select p.id, p.state from {edge} as e join {job} as p on p.n = e.parent where e.child = ? order by p.id
-- name: ahead
select count(*) from (
  select 1 from {job} where state = {state:waiting} and parked is null and line is null and queue = ?1 and runtime = ?2
  and ord < ?3 limit ?4 + 0
)
-- name: ahead_in_line
select count(*) from (
  select 1 from {job} where state = {state:waiting} and parked is null and line is not null and line = ?1 and ord < ?2 limit ?3 + 0
)
