-- Limits: keys, meters, lines, turns.
-- name: meter
select used, at from {meter} where meter = ?
-- name: put_meter
insert into {meter} (meter, used, at, until) values (?1, ?2, ?3, ?4)
on conflict (meter) do update set used = excluded.used, at = excluded.at, until = excluded.until
-- name: scale_meter
update {meter} set used = used / ?2 * ?3 where meter = ?1
-- name: drop_meter
delete from {meter} where meter = ?
-- name: spent_before
select coalesce(sum(cost), 0) from {spend} where meter = ?1 and at <= ?2
-- name: spent_after
select coalesce(sum(cost), 0) from {spend} where meter = ?1 and at > ?2
-- name: spends
select at, cost from {spend} where meter = ?1 and at > ?2 order by at
-- name: add_spend
insert into {spend} (meter, at, cost) values (?1, ?2, ?3) on conflict (meter, at) do update set cost = cost + excluded.cost
-- name: drop_spends
delete from {spend} where meter = ?1 and at <= ?2
-- name: drop_spends_after
delete from {spend} where meter = ?1 and at > ?2
-- name: drop_all_spends
delete from {spend} where meter = ?
-- name: limit_named
select {limit_columns} from {limit} where key = ?
-- name: limit_numbered
select {limit_columns} from {limit} where k = ?
-- name: limits
select {limit_columns} from {limit} order by key limit ? + 0
-- name: limits_named
select {limit_columns} from {limit} where key in (select value from json_each(?)) order by key
-- name: broad_limits
select key, k from {limit} where broad = 1
-- name: add_limit
insert into {limit} (key, broad, concurrency, rate_n, rate_window, rate_burst, changed_at) values (?, ?, ?, ?, ?, ?, ?)
returning k
-- name: set_limit
update {limit} set concurrency = ?2, rate_n = ?3, rate_window = ?4, rate_burst = ?5, shut_until = ?6, trial = ?7, pinned = ?8,
  changed_at = ?9 where k = ?1
-- name: drop_limit
delete from {limit} where k = ?
-- name: wake_limit
update {limit} set awake = 1 where k = ?1 and exists (select 1 from {line} where waits_for = ?1 and head is not null)
-- name: keep_limit
update {limit} set held = ?2, awake = ?3, timer = ?4, changed_at = ?5 where k = ?1
-- name: give_back_held
update {limit} set held = held - ?2,
  awake = awake or exists (select 1 from {line} where waits_for = ?1 and head is not null)
where k = ?1 returning awake
-- name: hold_more
update {limit} set held = held + ?2 where k = ?1
-- name: anyone_waits
select exists (select 1 from {line} where waits_for = ?1 and head is not null)
-- name: anyone_really_waits
select exists (
  select 1 from {line} as l where l.waits_for = ?1 and l.head is not null
  and exists (select 1 from {job} where line = l.k and state = {state:waiting} and parked is null)
)
-- name: release_lines
update {line} set waits_for = null where waits_for = ?
-- name: sorts
select name, sort, ageing, served from {queue} where sort <> 'strict'
-- name: line_of
select k from {line} where queue = ?1 and runtime = ?2 and grp = ?3 and keys = ?4
-- name: add_line
insert into {line} (queue, runtime, grp, keys, rank) values (?, ?, ?, ?, 0) returning k
-- name: tie_line
insert into {tie} (lim, line) values (?, ?)
-- name: lower
update {line} set rank = iif(head is null, ?2, iif(rank = {crowded}, rank, min(rank, ?2))), head = iif(head is null, ?3, min(head, ?3)),
  waits_for = iif(head is null, null, waits_for)
where k = ?1
-- name: entering
select n, queue, kind, runtime, grp, user, priority, ord, run_at, bounds, weight, line from {job}
where n in (select value from json_each(?)) and state = {state:waiting} and parked is null
-- name: running
select n, queue, kind, runtime, grp, user, priority, ord, run_at, bounds, weight, line from {job}
where n in (select value from json_each(?)) and state = {state:active}
-- name: set_line
update {job} set line = ?2 where n = ?1
-- name: line_keys
select k, keys from {line} where k in (select value from json_each(?))
-- name: turn
select pass, weight from {turn} where queue = ?1 and grp = ?2
-- name: put_turn
insert into {turn} (queue, grp, pass, weight) values (?1, ?2, ?3, ?4)
on conflict (queue, grp) do update set pass = excluded.pass, weight = excluded.weight
-- name: put_served
update {queue} set served = ?2 where name = ?1
-- name: drop_turns
delete from {turn} where queue = ?
-- name: rank_by_head
update {line} set rank = coalesce(head, 0) where queue = ?
-- name: rank_afresh
update {line} set rank = ?2 where queue = ?1
-- name: fire_timers
update {limit} set awake = 1, timer = null where timer is not null and timer <= ?
-- name: next_timer
select min(timer) from {limit} where timer is not null and exists (
  select 1 from {line} where waits_for = {limit}.k and head is not null
  and (?1 is null or queue in (select value from json_each(?1)))
)
-- name: lined_queues
with recursive q (name) as (
  select min(queue) from {line}
  union all
  select (select min(queue) from {line} where queue > q.name) from q where q.name is not null
)
select name from q where name is not null
-- name: open_lines
select exists (
  select 1 from json_each(?1) as q cross join {line} as l
  where l.queue = q.value and l.waits_for is null and l.head is not null
)
-- name: awake_limits
select k from {limit} where awake = 1 and exists (
  select 1 from {line} where waits_for = {limit}.k and head is not null
  and queue in (select value from json_each(?1)) and runtime in (select value from json_each(?2))
) order by k limit ?3 + 0
-- name: best_waiting
select k, queue, runtime, grp, keys, rank, head from {line}
where waits_for = ?1 + 0 and head is not null and queue = ?2 || '' and runtime = ?3 || '' and rank < {crowded}
order by rank, head limit ?4 + 0
-- name: waiting_queues
with recursive q (name) as (
  select min(queue) from {line} where waits_for = ?1 and head is not null
  union all
  select (select min(queue) from {line} where waits_for = ?1 and head is not null and queue > q.name)
  from q where q.name is not null
)
select name from q where name is not null
-- name: eligible
select k, queue, runtime, grp, keys, rank, head from {line}
where queue = ?1 || '' and runtime = ?2 || '' and waits_for is null and head is not null and (rank, head, k) > (?3, ?4, ?5)
  and rank < {crowded}
order by rank, head, k limit ?6 + 0
-- name: eligible_unkeyed
select k, queue, runtime, grp, keys, rank, head from {line}
where queue = ?1 || '' and runtime = ?2 || '' and waits_for is null and head is not null and (rank, head, k) > (?3, ?4, ?5)
  and rank < {crowded}
  and keys = '[]'
order by rank, head, k limit ?6 + 0
-- name: fronts
select grp, rank, head from {front}
where key = ?1 + 0 and queue = ?2 || '' and runtime = ?3 || '' and (rank, head, grp) > (?4, ?5, ?6)
order by rank, head, grp limit ?7 + 0
-- name: front_lines
insert into {front} (queue, runtime, grp, key, rank, head)
select queue, runtime, grp, coalesce(waits_for, 0), max(
  coalesce((select pass from {turn} as t where t.queue = l.queue and t.grp = l.grp), 0),
  coalesce((select served from {queue} where name = l.queue), 0)
), min(head) from {line} as l
where k in (select value from json_each(?)) and rank = {crowded} and head is not null group by 1, 2, 3, 4
on conflict (queue, runtime, grp, key) do update set rank = min(rank, excluded.rank), head = min(head, excluded.head)
where excluded.rank < rank or excluded.head < head
-- name: release_fronts
insert into {front} (queue, runtime, grp, key, rank, head)
select queue, runtime, grp, 0, rank, head from {front} where key = ?
on conflict (queue, runtime, grp, key) do update set rank = min(rank, excluded.rank), head = min(head, excluded.head)
-- name: any_front
select exists (select 1 from {front} where queue = ?1 and runtime = ?2)
-- name: group_lines
select k, queue, runtime, grp, keys, rank, head from {line}
where queue = ?1 || '' and runtime = ?2 || '' and grp = ?3 || '' and waits_for is ?4 + 0 and head is not null and rank = {crowded}
  and (head, k) > (?5, ?6)
order by head, k limit ?7 + 0
-- name: crowd
update {line} set rank = {crowded} where k in (
  select k from {line} where queue = ?1 and runtime = ?2 and grp = ?3 and head is not null and rank < {crowded}
    and keys <> '[]' and (
      select count(*) from (select 1 from {line} where queue = ?1 and runtime = ?2 and grp = ?3 and head is not null limit ?5 + 1)
    ) > ?5 limit ?4 + 0
) returning k
-- name: keep_front
update {front} set rank = ?5, head = ?6 where queue = ?1 and runtime = ?2 and grp = ?3 and key = ?4
-- name: drop_front
delete from {front} where queue = ?1 and runtime = ?2 and grp = ?3 and key = ?4 and not exists (
  select 1 from {line} where queue = ?1 and runtime = ?2 and grp = ?3 and waits_for is nullif(?4, 0) and head is not null
  and rank = {crowded}
)
-- name: fronts_afresh
update {front} set rank = 0 where queue = ?
-- name: groups_of_lines
select distinct queue, runtime, grp from {line} where rank = {crowded} and k in (select value from json_each(?))
-- name: drop_fronts
delete from {front} where queue = ?1 and runtime = ?2 and grp = ?3 and not exists (
  select 1 from {line} where queue = ?1 and runtime = ?2 and grp = ?3 and waits_for is nullif(key, 0) and head is not null
  and rank = {crowded}
)
-- name: heads
select ord, n, run_at, bounds from {job}
where state = {state:waiting} and parked is null and line = ?1 + 0 and line is not null and (expires_at is null or expires_at > ?2 or attempt > 0)
  and ord > ?3 order by ord limit ?4 + 0
-- name: plain_heads
select ord, n, 0, null from {job}
where state = {state:waiting} and parked is null and line is null and queue = ?1 || '' and runtime = ?2 || ''
  and (expires_at is null or expires_at > ?3 or attempt > 0) and ord > ?4 order by ord limit ?5 + 0
-- name: plain_heads_aged
select ord, n, run_at, null from {job}
where state = {state:waiting} and parked is null and line is null and queue = ?1 || '' and runtime = ?2 || ''
  and (expires_at is null or expires_at > ?3 or attempt > 0) and ord > ?4 order by ord limit ?5 + 0
-- name: keep_line
update {line} set rank = ?2, head = ?3, waits_for = ?4 where k = ?1
-- name: held_lines
select line from {job} where id in (select value from json_each(?)) and state = {state:active} and line is not null
-- name: flags
select l.k, l.keys <> '[]', exists (
  select 1 from json_each(l.keys) as each join {limit} as m on m.k = each.value where m.rate_n is not null
) from {line} as l where l.k in (select value from json_each(?))
-- name: of_queue
select n from {job} where state = {state:waiting} and parked is null and line is null and queue = ?1
union all select n from {job} where state = {state:waiting} and parked is null and line is not null and queue = ?1
union all select n from {job} where state = {state:active} and queue = ?1
-- name: of_kind
select n from {job} where state = {state:waiting} and parked is null and line is null and kind = ?1
union all select n from {job} where state = {state:waiting} and parked is null and line is not null and kind = ?1
union all select n from {job} where state = {state:active} and kind = ?1
-- name: holders
select id from {job}
where state = {state:active} and line is not null and line in (select line from {tie} where lim = ?1) limit ?2 + 0
-- name: sweepable_lines
select k from {line} as l where head is null
  and k not in (select line from {job} where state = {state:active} and line is not null)
  and not exists (select 1 from {job} where state = {state:waiting} and parked is null and line is not null and line = l.k)
limit ? + 0
-- name: stale_lines
select l.k, exists (
  select 1 from {job} where state = {state:waiting} and parked is null and line is not null and line = l.k
) from {line} as l where l.k > ?1 and l.head is not null order by l.k limit ?2 + 0
-- name: empty_line
update {line} set head = null, waits_for = null where k = ?
-- name: delete_lines
delete from {line} where k in (select value from json_each(?))
-- name: delete_ties
delete from {tie} where line in (select value from json_each(?))
-- name: unused_limits
select k from {limit} where pinned = 0 and broad = 0 and held = 0 and changed_at < ?1
  and (shut_until is null or shut_until < ?2) and not exists (select 1 from {tie} where lim = {limit}.k)
limit ?3 + 0
-- name: stale_meters
select meter from {meter} where until <= ?1 limit ?2 + 0
-- name: count_waiting
select count(*) from (
  select 1 from {line} where waits_for = ?1 and head is not null and queue in (select value from json_each(?2))
  and runtime in (select value from json_each(?3)) limit ?4 + 0
)
-- name: any_awake
select exists (select 1 from {limit} where awake = 1)
