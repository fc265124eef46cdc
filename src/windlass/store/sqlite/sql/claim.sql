-- Leasing: claim, heartbeat, report, rescue, unpark.
-- name: claimer
select session, number, lease, (select flag from {counter} where name = 'seq'), (select awake from {counter} where name = 'seq')
from {worker} where id = ?
-- name: remember_claim
insert into {worker} (id, session, number, lease, claimed_at) values (?1, ?2, ?3, ?4, ?5)
on conflict (id) do update set session = excluded.session, number = excluded.number, lease = excluded.lease,
  claimed_at = excluded.claimed_at
-- name: renew
update {job} set lease_until = ?3 where state = {state:active} and worker = ?1 and lease = ?2
returning {claimed}
-- name: paused
select name from {queue} where paused = 1
-- name: ready_queues
with recursive q (name) as (
  select min(queue) from {job} where state = {state:waiting} and parked is null and line is null
  union all
  select (select min(queue) from {job} where state = {state:waiting} and parked is null and line is null and queue > q.name)
  from q where q.name is not null
)
select name from q where name is not null
-- name: due_queues
with recursive q (name) as (
  select min(queue) from {job} where state in ({from:promote})
  union all
  select (select min(queue) from {job} where state in ({from:promote}) and queue > q.name)
  from q where q.name is not null
), a (name) as (
  select min(queue) from {job} where state = {state:blocked} and (signal is null) = 0
  union all
  select (select min(queue) from {job} where state = {state:blocked} and (signal is null) = 0 and queue > a.name)
  from a where a.name is not null
)
select name from q where name is not null union select name from a where name is not null
-- name: next_due
select min(run_at) from {job} where state in ({from:promote}) and queue = ?1
union all select min(run_at) from {job} where state = {state:blocked} and (signal is null) = 0 and queue = ?1
  and run_at < {end_of_time}
-- name: line
select ord, n from {job}
where state = {state:waiting} and parked is null and line is null and queue = ?1 || '' and runtime = ?2 || '' and (expires_at is null or expires_at > ?3 or attempt > 0)
order by ord
-- name: take_line
update {job} set state = {to:claim}, lease = ?5, lease_until = ?6, worker = ?7, started_at = ?3
where n in (
  select n from {job}
  where state = {state:waiting} and parked is null and line is null and queue = ?1 || '' and runtime = ?2 || '' and (expires_at is null or expires_at > ?3 or attempt > 0)
  order by ord limit ?4 + 0)
returning {claimed}
-- name: take_these
update {job} set state = {to:claim}, lease = ?3, lease_until = ?4, worker = ?5, started_at = ?2
where n in (select value from json_each(?1))
returning {claimed}
-- name: put_worker
insert into {worker} (id, session, info, seen_at, gone_at) values (?1, ?2, ?3, ?4, ?5)
on conflict (id) do update set
  number = case when session is excluded.session then number end,
  session = excluded.session, info = excluded.info, seen_at = excluded.seen_at, gone_at = excluded.gone_at
-- name: drop_worker
delete from {worker} where id = ?
-- name: extend
update {job} set lease_until = ?2
from (select value ->> 0 as id, value ->> 1 as lease from json_each(?1)) as held
where {job}.id = held.id and {job}.lease = held.lease and {job}.state = {state:active}
returning {job}.id
-- name: flagged
select id from {job} where cancelling is not null and worker = ? and state = {state:active}
-- name: any_active
select exists (select 1 from {job} where state = {state:active})
-- name: restamp
update {job} set lease_until = ?1 where state = {state:active} and lease_until > ?2
-- name: take_lapsed
update {job} set lease = ?3, lease_until = ?4, worker = ?5
where n in (select n from {job} where state = {state:active} and lease_until <= ?1 order by lease_until limit ?2 + 0)
returning {claimed}
-- name: any_lapsed
select exists (select 1 from {job} where state = {state:active} and lease_until <= ?)
-- name: unpark
update {job} set parked = null
where n in (select n from {job} where parked is not null and parked = ?1 || '' order by ord limit ?2 + 0)
returning n
