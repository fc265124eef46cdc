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
