-- What must hold between any two transactions; each part gives one line per breach.
-- name: counts_differ
select 'count of ' || queue || ' ' || state || ' is off by ' || sum(n) from (
  select queue, state, n from {count} union all select queue, state, -count(*) from {job} group by queue, state
) group by queue, state having sum(n) <> 0
-- name: edges_adrift
select 'edge ' || parent || ' -> ' || child || ' has no job at an end' from {edge}
where parent not in (select n from {job}) or child not in (select n from {job})
-- name: edges_of_unblocked
select 'edge into ' || j.id || ' which is ' || j.state from {edge} join {job} as j on j.n = child
where j.state <> {state:blocked}
-- name: waits_differ
select 'waits of ' || id || ' is ' || waits from {job}
where waits <> (select count(*) from {edge} where child = {job}.n)
    + (select count(*) from {adrift} where child = {job}.n)
  or (state = {state:blocked}) <> (waits > 0 or signal is not null)
-- name: edges_forgotten
select 'edge of ended parent ' || p.id || ' is not in the settle set' from {edge} as e join {job} as p on p.n = e.parent
where p.state in ({any:final}) and (p.state = {state:completed} or e.on_failure <> 'hold')
  and p.n not in (select parent from {settle})
-- name: cut_adrift
select 'cut edge ' || parent || ' -> ' || child || ' has no job at an end' from {cut}
where parent not in (select n from {job}) or child not in (select n from {job})
-- name: cut_of_unended
select 'cut edge into ' || j.id || ' which is ' || j.state from {cut} join {job} as j on j.n = child
where j.state not in ({state:cancelled}, {state:failed})
-- name: keys_adrift
select 'key ' || key || ' is held by ' || holder || ' which is ' || coalesce(j.state, 'gone')
from {uniq} left join {job} as j on j.id = holder
where mode <> 'period' and (j.id is null or j.state in ({any:final}))
-- name: followers_adrift
select 'key ' || key || ' is followed by ' || follower || ' which is ' || coalesce(j.state, 'gone')
from {uniq} left join {job} as j on j.id = follower where follower is not null and (j.id is null or j.state in ({any:final}))
-- name: keys_missing
select 'job ' || id || ' does not hold its key ' || ukey from {job}
where ukey is not null and umode = 'finished' and state in ({any:live})
  and ukey not in (select key from {uniq} where holder = {job}.id or follower = {job}.id)
-- name: tags_adrift
select 'tag ' || tag || ' of no job ' || job from {tag} where job not in (select n from {job})
-- name: log_adrift
select 'log line of no job ' || job from {log} where job not in (select n from {job})
-- name: parked_wrongly
select 'job ' || id || ' is parked and ' || state from {job}
where parked is not null and state not in ({state:waiting}, {state:delayed})
-- name: lease_wrong
select 'job ' || id || ' is active without a lease or worker' from {job}
where state = {state:active} and (lease is null or lease_until is null or worker is null)
-- name: final_untimed
select 'job ' || id || ' is ' || state || ' with finished_at ' || coalesce(finished_at, 'null') from {job}
where (state in ({any:final})) <> (finished_at is not null)
-- name: flag_wrong
select 'job ' || id || ' is flagged and ' || state from {job} where cancelling is not null and state <> {state:active}
-- name: order_wrong
select 'job ' || id || ' has a place of another priority' from {job} where (100 - priority) <> (ord >> 45)
-- name: queue_unknown
select 'queue ' || queue || ' is not listed' from {job} where queue not in (select name from {queue}) group by queue
-- name: signal_wrong
select 'job ' || id || ' waits for a signal and is ' || state from {job}
where signal is not null and (state <> {state:blocked} or waits > 0)
-- name: steps_adrift
select 'step of no job ' || job from {step} where job not in (select n from {job})
-- name: mail_adrift
select 'signal of no job ' || job from {mail} where job not in (select n from {job})
