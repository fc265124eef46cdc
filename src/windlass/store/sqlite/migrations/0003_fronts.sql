-- Crowded groups of fair and weighted queues: one place for all lines of a group, not one for each. breaking: no
-- Lines of the rank {crowded} are crowded: looked for by their group. Those that are eligible (`key` 0), or wait for the same limit, are
-- a front; its (rank, head) is a lower bound of the place of the best one.
drop table if exists {front};
create table {front} (
  queue text not null, runtime text not null, grp text not null, key integer not null, rank integer not null,
  head integer not null, primary key (queue, runtime, grp, key)
) without rowid;
create index "{ns}_front_best" on {front} (key, queue, runtime, rank, head, grp);
create index "{ns}_line_crowded" on {line} (queue, runtime, grp, waits_for, head) where head is not null and rank = {crowded};
-- A trigger, because versions that do not know the fronts move crowded lines too.
create trigger "{ns}_line_moves" after update of rank, head, waits_for on {line}
when new.rank = {crowded} and new.head is not null
  and (old.rank <> {crowded} or old.head is not new.head or old.waits_for is not new.waits_for)
begin
  insert into {front} (queue, runtime, grp, key, rank, head)
  values (
    new.queue, new.runtime, new.grp, coalesce(new.waits_for, 0),
    max(
      coalesce((select pass from {turn} where queue = new.queue and grp = new.grp), 0),
      coalesce((select served from {queue} where name = new.queue), 0)
    ),
    new.head
  )
  on conflict (queue, runtime, grp, key) do update set rank = min(rank, excluded.rank), head = min(head, excluded.head)
  where excluded.rank < rank or excluded.head < head;
end;
