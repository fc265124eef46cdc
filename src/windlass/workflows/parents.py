"""`ctx.parents`: what the parents of a job returned, read before its handler starts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from windlass.declare.handler import Handler
from windlass.errors import JobNotFound, WindlassError
from windlass.produce.results import value_of
from windlass.values.job import Job
from windlass.values.states import State

R = TypeVar("R")

MOST_PARENTS = 1_000
"""Parents whose results are read; a job with more asks `ctx.batch.members()`."""


class Parents(Mapping[str, Any]):
    """Results by the parent's id or name. It iterates over the ids of those that completed; `jobs` has all that still exist.

    Asking for one that failed or was cancelled (`on_failure="run"`) raises `JobFailed` or `JobCancelled`.
    """

    def __init__(self, jobs: Sequence[Job] = (), count: int | None = None) -> None:
        self.known = tuple(jobs)
        self.count = len(self.known) if count is None else count

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The parents in the order of `after`, without their arguments."""
        if self.count > MOST_PARENTS:
            raise WindlassError(
                f"this job has {self.count:,} parents; the results of at most {MOST_PARENTS:,} are read for ctx.parents",
                count=self.count,
                limit=MOST_PARENTS,
                mend="go through them with: async for member in ctx.batch.members()",
            )
        return self.known

    def __getitem__(self, key: str) -> Any:
        for job in self.jobs:
            if key in (job.id, job.name):
                return value_of(job)
        raise KeyError(f"no parent has the id or name {key!r}; it may have been pruned")

    def __iter__(self) -> Iterator[str]:
        return (job.id for job in self.jobs if job.state is State.COMPLETED)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def one(self, handler: "Handler[..., R]") -> R:
        """The result of the only parent of this kind; `LookupError` if there is none or more than one."""
        found = [job for job in self.jobs if job.kind == handler.kind]
        if len(found) != 1:
            raise LookupError(f"{len(found)} parents are of kind {handler.kind!r}; one() wants exactly one")
        return handler.result_from(value_of(found[0]))

    def all(self, handler: "Handler[..., R]") -> list[R]:
        """The results of the completed parents of this kind, in the order of `after`. Raises `JobNotFound` if retention has
        deleted parents: a sum over the rest would be wrong and look right."""
        gone = self.count - len(self.jobs)
        if gone > 0:
            raise JobNotFound(
                f"{gone:,} of {self.count:,} parents are no longer in the store, so these would not be all",
                gone=gone,
                count=self.count,
                mend="keep parents longer than their children may take (docs/guides/retention.md); ctx.parents.jobs has the rest",
            )
        return [
            handler.result_from(job.result)
            for job in self.jobs
            if job.kind == handler.kind and job.state is State.COMPLETED
        ]


NO_PARENTS = Parents()
