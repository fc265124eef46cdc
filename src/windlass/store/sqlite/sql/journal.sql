-- The journal, and the acts of operators.
-- name: add_news
insert into {news} (at, event, ids, n) values (?, ?, ?, ?)
-- name: ids_of
select n, id from {job} where n in (select value from json_each(?))
-- name: newest_news
select seq from sqlite_sequence where name = '{ns}_news'
-- name: trim_news
delete from {news} where k < coalesce((select k from {news} where k > ?1 and at >= ?2 order by k limit 1), 1 << 62)
-- name: awaken
update {counter} set awake = ?1 where name = 'seq'
-- name: journal
select coalesce((select n from {counter} where name = 'listened'), 0),
  coalesce((select min(k) from {news}), newest + 1), newest
from (select coalesce((select seq from sqlite_sequence where name = '{ns}_news'), 0) as newest)
-- name: news
select k, at, event, ids, n from {news} where k > ?1 order by k limit ?2 + 0
