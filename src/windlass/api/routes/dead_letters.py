"""Dead letters: the failed jobs, by a name of their own."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from windlass.api.operation import Call, Reply, Routes
from windlass.api.paging import Listing
from windlass.api.problems import Problem
from windlass.api.routes.acts import Again, delete_job, retry_job
from windlass.api.routes.closeup import one_job
from windlass.api.routes.jobs import Created, JobFilter, find_jobs
from windlass.api.specs import Duration, Instant, Name
from windlass.api.views import PARTS, Acted, Count, JobView, view
from windlass.operate.dead_letters import DeadLetter, LetterFilter, Policy
from windlass.operate.letter_stats import LetterStats
from windlass.values.job import Job
from windlass.values.query import Where
from windlass.values.states import State

routes = Routes(
    "dead-letters", "Jobs that gave up. `POST /bulk` acts on many of them at once, a replay on all of them."
)

Fingerprint = Annotated[str, Meta(max_length=64, description="The error group.")]


class LetterView(JobView, frozen=True, kw_only=True):
    """A dead letter: a job with what is needed to judge it. `can_retry`: trying again may help; `archived`: too old for automatic
    retry; `policy`: how it is retried."""

    can_retry: bool
    archived: bool
    policy: Policy


class LettersQuery(JobFilter, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters; `archived` left out means both."""

    fingerprint: Fingerprint | None = None
    archived: bool | None = None


class LetterStatsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of which queue; of all, if left out."""

    queue: Name | None = None


class LetterAgain(Again, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to run it again: `args` replaces its arguments, `max_attempts` how often it may run."""

    args: dict[str, Any] | None = None
    max_attempts: Annotated[int, Meta(ge=1, le=1_000)] | None = None


class LettersSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters."""

    queue: Name | None = None
    kind: str | None = None
    user: Name | None = None
    fingerprint: Fingerprint | None = None
    failed_from: Instant | None = None
    failed_to: Instant | None = None
    archived: bool | None = None

    @property
    def filters(self) -> LetterFilter:
        """What was given."""
        names = LettersSpec.__struct_fields__
        found: Any = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return found


class ReplaySpec(LettersSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters to run again (those that are not archived, if nothing is said of it), and how many a second."""

    per_second: Annotated[float, Meta(ge=0.01, le=1_000_000)] | None = None


class PurgeSpec(LettersSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters to delete."""

    older_than: Duration | None = None


class ArchiveSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Since when they have failed at least."""

    older_than: Duration = 30 * 86_400.0


class Archived(msgspec.Struct, frozen=True, kw_only=True):
    """What failed before this is archived."""

    before: datetime


@routes.get("/dead-letters")
async def list_dead_letters(call: Call, query: LettersQuery) -> Reply[Listing[LetterView]]:
    """List dead letters, newest first."""
    letters = call.app.dead_letters
    before = await letters.archived_before()
    within = Where(states=(State.FAILED,), fingerprints=() if query.fingerprint is None else (query.fingerprint,))
    if query.archived is not None and before is not None:
        within = replace(within, **{"finished_to" if query.archived else "finished_from": max(before, 0)})
    plain: dict[str, Any] = {name: getattr(query, name) for name in JobFilter.__struct_fields__}
    question = (query.fingerprint, query.archived)
    return await find_jobs(
        call, JobFilter(**plain), within, lambda job, include: _letter(letters.letter(job, before), include), question
    )


@routes.get("/dead-letters/stats")
async def get_dead_letter_stats(call: Call, query: LetterStatsQuery) -> LetterStats:
    """How many dead letters there are, of how many trying again may help, by queue and error group."""
    return await call.app.dead_letters.stats(query.queue)


@routes.post("/dead-letters/replay", status=202, example={"queue": "mail", "per_second": 50})
async def replay_dead_letters(call: Call, body: ReplaySpec) -> Reply[Created]:
    """Run any number of dead letters again, by a job that workers carry out.

    It has progress, goes on where it was when its worker dies, runs none twice, and is cancelled like any job.
    """
    filters = body.filters
    ref = await call.app.dead_letters.replay(per_second=body.per_second, actor=call.caller.actor, **filters)
    href = call.href(f"/jobs/{ref.id}")
    return Reply(Created(id=ref.id, kind=ref.kind, deduplicated=False, href=href), headers={"Location": href})


@routes.post("/dead-letters/archive", needs_body=False, example={"older_than": "30d"})
async def archive_dead_letters(call: Call, body: ArchiveSpec) -> Archived:
    """Take old dead letters out of automatic retry; they stay readable, and can be run again by hand."""
    before = await call.app.dead_letters.archive(older_than=body.older_than, actor=call.caller.actor)
    return Archived(before=before)


@routes.post("/dead-letters/purge", example={"queue": "mail", "older_than": "90d"})
async def purge_dead_letters(call: Call, body: PurgeSpec) -> Count:
    """Delete dead letters for good."""
    filters = body.filters
    acted = await call.app.dead_letters.purge(older_than=body.older_than, actor=call.caller.actor, **filters)
    return Count(int(acted))


@routes.get("/dead-letters/{id}", tagged=True)
async def get_dead_letter(call: Call, id: str) -> LetterView:
    """Show a dead letter, with every attempt and its error."""
    job = await _dead(call, id)
    letters = call.app.dead_letters
    return _letter(letters.letter(job, await letters.archived_before()), PARTS)


@routes.post("/dead-letters/{id}/retry", needs_body=False, example={"args": {"to": "a@example.com"}})
async def retry_dead_letter(call: Call, id: str, body: LetterAgain) -> Acted:
    """Run a dead letter again, with other arguments if given."""
    await _dead(call, id)
    if body.args is None and body.max_attempts is None:
        return await retry_job(call, id, Again(keep_attempts=body.keep_attempts, revive=body.revive))
    acted = await call.app.dead_letters.requeue(
        id,
        args=body.args,
        max_attempts=body.max_attempts,
        keep_attempts=body.keep_attempts,
        revive=body.revive,
        actor=call.caller.actor,
    )
    if id in acted.refused:
        raise Problem(409, "wrong-state", f"the job {acted.refused[id]}")
    return Acted(id=id, outcome="done")


@routes.delete("/dead-letters/{id}")
async def delete_dead_letter(call: Call, id: str) -> Acted:
    """Delete a dead letter."""
    await _dead(call, id)
    return await delete_job(call, id)


async def _dead(call: Call, id: str) -> Job:
    job = await one_job(call, id)
    if job.state is not State.FAILED:
        raise Problem(409, "wrong-state", f"the job is {job.state}, not a dead letter")
    return job


def _letter(letter: DeadLetter, include: tuple[str, ...]) -> LetterView:
    job = view(letter.job, include)
    facts: dict[str, Any] = {name: getattr(job, name) for name in JobView.__struct_fields__}
    facts["next_retry_at"] = letter.next_retry_at
    return LetterView(**facts, can_retry=letter.can_retry, archived=letter.archived, policy=letter.policy)
