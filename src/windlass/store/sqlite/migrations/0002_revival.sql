-- What brings back jobs that a parent's end had ended. breaking: yes
-- The edges of jobs that ended while they were blocked. `cause` marks the edge whose parent ended the job.
create table {cut} (
  parent integer not null, child integer not null, on_failure text not null, cause integer not null,
  primary key (parent, child)
) without rowid;
create index "{ns}_cut_child" on {cut} (child);

-- Requeued parents that have more to revive than the call that requeued them could do.
create table {revive} (parent integer primary key);
