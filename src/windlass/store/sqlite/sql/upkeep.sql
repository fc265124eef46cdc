-- What time does: promotion, expiry, pruning, walks over final jobs.
-- name: due_in
select run_at, n, priority from {job} where state in ({from:promote}) and queue = ?1 || '' and run_at <= ?2 order by run_at limit ?3 + 0
-- name: overslept_in
select run_at, n, priority from {job}
where state = {state:blocked} and (signal is null) = 0 and queue = ?1 || '' and run_at <= ?2 order by run_at limit ?3 + 0
-- name: promote_one
update {job} set state = {to:promote}, ord = ?2, reason = iif(signal is null, reason, null), signal = null where n = ?1
-- name: due_state
select state from {job} where n = ?
-- name: expired
select n, id, queue, state from {job}
where expires_at is not null and attempt = 0 and state in ({any:pending}) and expires_at <= ?1 order by expires_at limit ?2 + 0
-- name: next_expiry
select min(expires_at) from {job} where expires_at is not null and attempt = 0 and state in ({any:pending})
-- name: end_these
update {job} set state = ?2, reason = ?3, finished_at = ?4, parked = null, waits = 0, cancelling = null,
  signal = null, line = null
where n in (select value from json_each(?1))
-- name: ends_of
select queue, kind, count(*) from {job} where n in (select value from json_each(?)) group by queue, kind
-- name: aged
select n, id from {job}
where state in ({any:final}) and queue = ?1 || '' and state = ?2 and finished_at <= ?3
  and not exists (select 1 from {edge} where parent = {job}.n)
order by finished_at limit ?4 + 0
-- name: oldest
select n, id from (
  select n, id, workflow, finished_at from {job}
  where state in ({any:final}) and queue = ?1 || '' and state = ?2 order by finished_at limit ?3 + 0
) as old where (workflow is null or finished_at <= ?5) and not exists (select 1 from {edge} where parent = old.n) limit ?4 + 0
-- name: final_counts
select queue, state, n from {count} where n > 0 and state in ({any:final})
-- name: remember
insert into {past} (gone_at, {remains}) select ?2, {remaining} from {job}
where n in (select value from json_each(?1)) and queue <> {house}
-- name: past_first
select min(k) from {past}
-- name: past_last
select max(k) from {past}
-- name: past_old
select max(k) from {past} where k < ?1 and gone_at <= ?2
-- name: forget_past
delete from {past} where k <= ?
-- name: any_hanging
select exists (select 1 from {tag}), exists (select 1 from {log}), exists (select 1 from {ledger}), exists (select 1 from {cut}),
  exists (select 1 from {step}), exists (select 1 from {mail})
-- name: delete_cut
delete from {cut} where parent in (select value from json_each(?1)) or child in (select value from json_each(?1))
-- name: delete_jobs
delete from {job} where n in (select value from json_each(?))
-- name: delete_tags
delete from {tag} where job in (select value from json_each(?))
-- name: delete_ledger
delete from {ledger} where job in (select value from json_each(?))
-- name: delete_log
delete from {log} where job in (select value from json_each(?))
-- name: prune_tally
delete from {tally} where minute < ?
-- name: prune_audit
delete from {audit} where at < ?
-- name: prune_record
delete from {record} where until is not null and until <= ?
-- name: prune_worker
delete from {worker} where coalesce(gone_at, claimed_at) < ?
-- name: ledger_differs
select coalesce((select sum(n) from {count} where state = {state:failed}), 0)
  <> (select count(*) from {ledger} where failed_at is not null)
-- name: bury_forgotten
insert into {ledger} (job, failed_at, fingerprint, id)
select n, finished_at, {error_fingerprint}, id from {job}
where state in ({state:failed}, {state:cancelled}) and state = {state:failed}
  and not exists (select 1 from {ledger} where job = n and failed_at is not null) limit ? + 0
on conflict (job) do update set failed_at = excluded.failed_at, fingerprint = excluded.fingerprint, next_retry_at = null,
  id = excluded.id
-- name: exhume_forgotten
update {ledger} set failed_at = null, fingerprint = null, next_retry_at = null, id = null
where failed_at is not null and not exists (select 1 from {job} where n = {ledger}.job and state = {state:failed})
-- name: walked
select at, job from {walk} where name = ?
-- name: walk_on
insert into {walk} (name, at, job) values (?1, ?2, ?3) on conflict (name) do update set at = excluded.at, job = excluded.job
-- name: walk_logs
select finished_at, n, exists (select 1 from {log} where job = {job}.n) or exists (select 1 from {step} where job = {job}.n)
  or exists (select 1 from {mail} where job = {job}.n)
from {job} where state in ({any:final}) and queue = ?1 || '' and state = ?2 || '' and (finished_at, n) > (?3, ?4) and finished_at <= ?5
order by finished_at, n
-- name: walk_results
select finished_at, n, result is not null from {job}
where state in ({any:final}) and queue = ?1 || '' and state = ?2 || '' and (finished_at, n) > (?3, ?4) and finished_at <= ?5
order by finished_at, n
-- name: drop_results
update {job} set result = null where n in (select value from json_each(?))
-- name: walk_archive
select finished_at, n, exists (select 1 from {ledger} where job = {job}.n and next_retry_at is not null) from {job}
where state in ({any:final}) and queue = ?1 || '' and state = ?2 || '' and (finished_at, n) > (?3, ?4) and finished_at <= ?5
order by finished_at, n
-- name: archive_these
update {ledger} set next_retry_at = null where job in (select value from json_each(?))
