-- Unique keys.
-- name: key_row
select holder, until, follower, follower_until from {uniq} where key = ?
-- name: take_key
insert into {uniq} (key, holder, mode, until) values (?1, ?2, ?3, ?4)
on conflict (key) do update set holder = excluded.holder, mode = excluded.mode, until = excluded.until, follower = null,
  follower_mode = null, follower_until = null
-- name: follow_key
update {uniq} set follower = ?2, follower_mode = ?3, follower_until = ?4 where key = ?1
-- name: any_key
select exists (select 1 from {uniq}), exists (select 1 from {uniq} where follower is not null)
-- name: any_started
select exists (select 1 from {uniq} where mode = 'started')
-- name: unfollow
update {uniq} set follower = null, follower_mode = null, follower_until = null
where follower is not null and follower in (select value from json_each(?))
-- name: pass_keys
update {uniq} set holder = follower, mode = follower_mode, until = follower_until, follower = null, follower_mode = null,
  follower_until = null
where follower is not null and holder in (select value from json_each(?1))
  and (mode = ?2 or (?2 is null and mode <> 'period'))
-- name: lapse_keys
update {uniq} set holder = follower, mode = follower_mode, until = follower_until, follower = null, follower_mode = null,
  follower_until = null
where until <= ?1 and follower is not null and (follower_until is null or follower_until > ?1)
-- name: free_keys
delete from {uniq} where holder in (select value from json_each(?1)) and (mode = ?2 or (?2 is null and mode <> 'period'))
-- name: prune_key
delete from {uniq} where until is not null and until <= ?
