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
-- name: flow_unknown
select 'lines are in use and nobody looks for them' from {counter} where name = 'seq' and flag = 0 and (
  exists (select 1 from {line}) or exists (select 1 from {limit}) or exists (select 1 from {queue} where sort <> 'strict')
  or exists (select 1 from {job} where bounds is not null)
)
-- name: held_differs
select 'limit ' || m.key || ' counts ' || m.held || ' holders, ' || n || ' run' from (
  select k, key, held, (
    select count(*) from {tie} as t join {job} as j on j.line = t.line
    where t.lim = {limit}.k and j.state = {state:active} and j.line is not null
  ) as n from {limit}
) as m where m.held <> n
-- name: line_wrong
select 'job ' || id || ' is ' || state || ' in line ' || line || ', which is not there' from {job}
where line is not null and line not in (select k from {line})
-- name: line_of_unready
select 'job ' || id || ' is ' || state || ' and has a line' from {job}
where line is not null and state not in ({state:waiting}, {state:active})
-- name: line_missing
select 'job ' || id || ' waits in the plain line, with limits' from {job}
where state = {state:waiting} and parked is null and line is null and bounds is not null
-- name: line_of_others
select 'job ' || j.id || ' stands in a line of another queue or runtime' from {job} as j join {line} as l on l.k = j.line
where j.queue <> l.queue or j.runtime <> l.runtime
-- name: line_of_nothing
select 'line ' || k || ' has neither group nor keys' from {line} where grp = '' and keys = '[]'
-- name: line_place_wrong
select 'line ' || l.k || ' is placed behind its first job' from {line} as l join (
  select line, min(ord) as first from {job} where state = {state:waiting} and parked is null and line is not null
    and expires_at is null group by line
) as w on w.line = l.k left join {queue} as q on q.name = l.queue
where l.head is null or l.head > w.first or (coalesce(q.sort, 'strict') = 'strict' and l.rank > w.first)
-- name: line_forgotten
select 'line ' || l.k || ' waits for limit ' || coalesce(m.key, l.waits_for) || ', which nobody will wake' from {line} as l
left join {limit} as m on m.k = l.waits_for
where l.waits_for is not null and l.head is not null and (
  m.k is null or (
    m.awake = 0 and m.timer is null and (m.concurrency is null or m.held < m.concurrency)
    and (m.trial is null or m.shut_until is null or m.held < m.trial)
  )
)
-- name: line_waits_elsewhere
select 'line ' || k || ' waits for a limit that it is not under' from {line}
where waits_for is not null and not exists (select 1 from {tie} where lim = waits_for and line = {line}.k)
-- name: front_missing
select 'line ' || l.k || ' is not behind the front of its group' from {line} as l where l.head is not null and l.rank = {crowded}
and not exists (
  select 1 from {front} as f where f.queue = l.queue and f.runtime = l.runtime and f.grp = l.grp
  and f.key = coalesce(l.waits_for, 0) and f.head <= l.head
)
-- name: front_wrong
select 'front of ' || f.grp || ' in ' || f.queue || ' is placed behind its turn' from {front} as f
join {queue} as q on q.name = f.queue left join {turn} as t on t.queue = f.queue and t.grp = f.grp
where q.sort in ('fair', 'weighted') and f.rank > max(coalesce(t.pass, 0), q.served)
-- name: ties_differ
select 'ties of line ' || k || ' are not its keys' from {line}
where keys <> (select json_group_array(lim) from (select lim from {tie} where line = {line}.k order by lim))
-- name: ties_adrift
select 'tie of no line ' || line from {tie} where line not in (select k from {line})
-- name: spends_differ
select 'meter ' || meter || ' holds ' || used || ', its spends are ' || coalesce(spent, 0) from (
  select m.meter, m.used, (select sum(cost) from {spend} as s where s.meter = m.meter) as spent from {meter} as m
) where spent is not null and used <> spent
-- name: spends_adrift
select 'spend of no meter ' || meter from {spend} where meter not in (select meter from {meter})
-- name: ledger_adrift
select 'ledger of no job ' || job from {ledger} where job not in (select n from {job})
-- name: dead_wrong
select 'job ' || j.id || ' is ' || j.state || ', its ledger says ' || coalesce(l.failed_at, 'nothing')
from {job} as j left join {ledger} as l on l.job = j.n
where iif(j.state = {state:failed}, l.failed_at is not j.finished_at or l.id is not j.id,
  coalesce(l.failed_at, l.fingerprint, l.id, l.next_retry_at) is not null)
-- name: group_wrong
select 'job ' || id || ' is in the group ' || coalesce(fingerprint, '""') || ', its error is another' from (
  select j.id, l.fingerprint, {error_fingerprint} as named from {job} as j join {ledger} as l on l.job = j.n
  where l.failed_at is not null
) where named is not null and fingerprint is not named
-- name: past_gaps
select 'past has ' || n || ' rows and numbers of ' || span from (
  select count(*) as n, max(k) - min(k) + 1 as span from {past}
) where n > 0 and n <> span
