-- Groups of fair and weighted queues by their pass, so that a group is looked at and not each of its lines. breaking: no
-- The lines of a group, under limits, that are eligible (`key` 0) or wait for the same limit. (rank, head) is a lower bound of the place of the best one.
drop table if exists {front};
create table {front} (
  queue text not null, runtime text not null, grp text not null, key integer not null, rank integer not null,
  head integer not null, primary key (queue, runtime, grp, key)
) without rowid;
create index "{ns}_front_best" on {front} (key, queue, runtime, rank, head, grp);
create index "{ns}_line_group" on {line} (queue, runtime, grp, waits_for, head) where head is not null and keys <> '[]';
create index "{ns}_line_unkeyed" on {line} (queue, runtime, rank, head, k) where waits_for is null and head is not null and keys = '[]';
insert into {front} (queue, runtime, grp, key, rank, head)
select queue, runtime, grp, coalesce(waits_for, 0), min(rank), min(head) from {line}
where head is not null and grp <> '' and keys <> '[]'
group by 1, 2, 3, 4;
-- A trigger, because versions that do not know the fronts move lines too.
create trigger "{ns}_line_moves" after update of head, waits_for on {line}
when new.grp <> '' and new.keys <> '[]' and new.head is not null and (old.head is not new.head or old.waits_for is not new.waits_for)
begin
  insert into {front} (queue, runtime, grp, key, rank, head)
  values (new.queue, new.runtime, new.grp, coalesce(new.waits_for, 0), new.rank, new.head)
  on conflict (queue, runtime, grp, key) do update set rank = min(rank, excluded.rank), head = min(head, excluded.head)
  where excluded.rank < rank or excluded.head < head;
end;
