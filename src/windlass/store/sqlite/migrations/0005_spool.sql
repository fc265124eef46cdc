-- Tallies as they come: one row for each call of finish, added up now and then. breaking: no
-- `k` grows by what the row weighs, so the last one tells how much there is. `items`: a list of [queue, kind, name, {bucket: value}].
drop table if exists {spool};
create table {spool} (k integer primary key, minute integer not null, items text not null);
