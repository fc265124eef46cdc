"""Jobs: create one or many, list and search, look closely, and act on one."""

import asyncio
import contextlib
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import replace

from windlass.api.ids import seeded
from windlass.api.operation import Call, Reply, Routes
from windlass.api.paging import Cursor, Limit, Listing, Total, listing, read_cursor
from windlass.api.problems import Flaw, Problem
from windlass.api.specs import Duration, JobSpec, Maker, Name, Priority, check_parents, placed
from windlass.api.views import Acted, AttemptView, ErrorView, JobView, read_include, view
from windlass.clock import moment, seconds
from windlass.errors import JobCancelled, JobFailed, JobNotFound, ResultTimeout, WindlassError
from windlass.explain import Explanation
from windlass.job import Enqueued, Job, NewJob
from windlass.lease import Delivery, StoredLine
from windlass.priority import check_priority
from windlass.producer import MOST_JOBS
from windlass.query import AuditEntry, Page, Where
from windlass.results import not_found
from windlass.states import State
from windlass.steps import StepRecord
from windlass.views import Acted as Done

routes = Routes("jobs", "Create jobs, look at them, act on them.")

LONGEST_WAIT = 60.0
_COUNTED = 1_000
_AT_ONCE = 1_000


class Created(msgspec.Struct, frozen=True, kw_only=True):
    """A stored job. `deduplicated`: its unique key was held, and this is the job that holds it."""

    id: str
    kind: str
    deduplicated: bool
    href: str


class NewJobs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Many jobs. `atomic`: all or none; else each by itself, and the answer says what became of each."""

    jobs: Annotated[list[JobSpec], Meta(min_length=1, max_length=MOST_JOBS)]
    atomic: bool = True


class CreatedItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What became of one of many: its `id`, or with status 422 or 403 what is wrong with it."""

    status: int
    id: str | None = None
    deduplicated: bool = False
    code: str | None = None
    errors: list[Flaw] = []


class CreatedMany(msgspec.Struct, frozen=True, kw_only=True):
    """What became of many, in the order asked."""

    created: int
    refused: int
    items: list[CreatedItem]


class JobFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which jobs. `q` is the filter language; the other fields are short for terms of it. `total=true` counts up to 1,000."""

    q: Annotated[str, Meta(max_length=2_000, examples=["state:failed kind:send_* age:>1h"])] | None = None
    state: Annotated[str, Meta(description="One or more of the eight states, with commas.")] | None = None
    queue: str | None = None
    kind: Annotated[str, Meta(description="May end in `*`.")] | None = None
    user: Name | None = None
    project: Name | None = None
    workflow: str | None = None
    tag: str | None = None
    include: Annotated[str, Meta(description="Of args, result, attempts, options, traceback.")] | None = None
    limit: Limit = 50
    cursor: Cursor | None = None
    total: bool = False


class Edit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change about a job that has not ended."""

    priority: Priority


class Why(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why it is done; kept with the job."""

    reason: Annotated[str, Meta(max_length=500)] | None = None


class Again(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to run again. `keep_attempts`: go on counting; `revive`: also bring back what its failure ended."""

    keep_attempts: bool = False
    revive: bool = False


class Clone(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the copy does otherwise: arguments to replace, and options."""

    args: dict[str, Any] = {}
    queue: Name | None = None
    priority: Priority | None = None
    delay: Duration | None = None


class Wait(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long to wait for the end, up to a minute."""

    wait: Annotated[str, Meta(pattern=r"^\d{1,5}(\.\d{1,3})?(ms|s|m)?$", description="Such as 30s or 30.")] = "0"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended, or where it stands. `result` is there once it completed."""

    id: str
    state: State
    final: bool
    progress: float
    reason: str | None
    error: ErrorView | None
    result: Any | UnsetType = UNSET


class SignalSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the signal brings along."""

    data: Any = None


class Signalled(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a signal: the job goes on (`woken`), or finds it when it asks (`kept`)."""

    id: str
    delivery: Delivery


class ProgressView(msgspec.Struct, frozen=True, kw_only=True):
    """How far it is."""

    id: str
    state: State
    progress: float
    note: str | None
    attempt: int
    started_at: datetime | None
    finished_at: datetime | None


class LogView(msgspec.Struct, frozen=True, kw_only=True):
    """A line that a handler logged."""

    at: datetime
    attempt: int
    level: str
    text: str


class ActView(msgspec.Struct, frozen=True, kw_only=True):
    """Something that somebody did."""

    at: datetime
    actor: str
    action: str
    target: str
    detail: Any


class History(msgspec.Struct, frozen=True, kw_only=True):
    """The attempts of a job, and what operators did to it."""

    id: str
    attempts: list[AttemptView]
    acts: list[ActView]


@routes.post(
    "/jobs", status=202, others={200: Created}, example={"kind": "send_email", "args": {"to": "a@example.com"}}
)
async def create_job(call: Call, body: JobSpec) -> Reply[Created]:
    """Create a job.

    Answers 202 once the job is stored; it runs later. If its unique key is held, 200 and the job that holds it.
    """
    if body.after:
        await check_parents(call, body.after)
    job = await Maker(call).one(body, body.after)
    return await store_one(call, job)


async def store_one(call: Call, job: NewJob[Any]) -> Reply[Created]:
    """Store a job under the id that the request is to have."""
    if call.seed is not None:
        job = replace(job, id=call.seed)
    ref = await call.app.submit(job)
    href = call.href(f"/jobs/{ref.id}")
    made = Created(id=ref.id, kind=job.kind, deduplicated=not ref.created, href=href)
    return Reply(made, status=202 if ref.created else 200, headers={"Location": href})


@routes.post(
    "/jobs/batch", status=202, bulky=True, example={"jobs": [{"kind": "send_email", "args": {"to": "a@example.com"}}]}
)
async def create_jobs(call: Call, body: NewJobs) -> CreatedMany:
    """Create up to 10,000 jobs in one call.

    Atomic, unless the body says otherwise: then each item has a status of its own, as far as the jobs' descriptions go.
    """
    maker = Maker(call)
    await maker.find(spec.kind for spec in body.jobs)
    await check_parents(call, {id for spec in body.jobs for id in spec.after})
    ids = seeded(call.seed)
    items: list[CreatedItem | None] = []
    jobs: list[NewJob[Any]] = []
    for number, spec in enumerate(body.jobs):
        try:
            job = maker.make(spec, spec.after)
        except (WindlassError, Problem) as error:
            problem = placed(error, f"/jobs/{number}")
            if body.atomic or problem.status >= 500:
                raise problem from None
            items.append(CreatedItem(status=problem.status, code=problem.code, errors=list(problem.flaws)))
            continue
        jobs.append(job if call.seed is None else replace(job, id=next(ids)))
        items.append(None)
        if number % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)  # making ten thousand takes a tenth of a second: others get their turn
    answers = iter(await call.app.store_jobs(jobs))
    done = [_stored(next(answers)) if item is None else item for item in items]
    return CreatedMany(created=len(jobs), refused=len(done) - len(jobs), items=done)


def _stored(answer: Enqueued) -> CreatedItem:
    return CreatedItem(status=202 if answer.created else 200, id=answer.id, deduplicated=not answer.created)


@routes.get("/jobs")
async def list_jobs(call: Call, query: JobFilter) -> Reply[Listing[JobView]]:
    """List jobs, newest first.

    A page may be short, even empty: only `next_cursor` null means the end. Payloads are left out unless `include` asks.
    """
    return await find_jobs(call, query)


@routes.post("/jobs/search", needs_body=False, example={"q": "state:failed args.to:a@example.com", "include": "args"})
async def search_jobs(call: Call, body: JobFilter) -> Reply[Listing[JobView]]:
    """Search jobs: the same as listing them, for filters too long for an address."""
    return await find_jobs(call, body)


async def find_jobs(call: Call, asked: JobFilter, within: Where | None = None) -> Reply[Listing[JobView]]:
    """A page of the jobs that a filter describes, within the caller's reach."""
    include = read_include(asked.include)
    text = question_of(asked)
    where = call.caller.reach.narrow(within or Where())
    question = (text, asked.user, asked.project, within.states if within else ())
    place = read_cursor(question, asked.cursor)
    reach = call.caller.reach
    if where is not None and (asked.user or asked.project):
        where = reach.narrow(replace(where, user=asked.user or where.user, project=asked.project or where.project))
    page = (
        Page[Job]([])
        if where is None
        else await call.app.jobs.search(text, within=where, limit=asked.limit, cursor=place)
    )
    total = await _count(call, text, where) if asked.total and where is not None else None
    return listing(call, question, [view(job, include) for job in page.items], page.next, total)


def question_of(asked: JobFilter) -> str:
    """The filter as text of the filter language."""
    terms = [asked.q or ""]
    for field in ("state", "queue", "kind", "workflow", "tag"):
        value: str | None = getattr(asked, field)
        if value is not None:
            values = [part.strip() for part in value.split(",") if part.strip()]
            if not values:
                raise Problem(
                    422, "invalid-parameter", f"{field} is empty", flaws=[Flaw("is empty", "invalid", parameter=field)]
                )
            quoted = ['"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"' for part in values]
            terms.append(f"{field}:{','.join(quoted)}")
    return " ".join(term for term in terms if term)


async def _count(call: Call, text: str, where: Where) -> Total:
    """The number of matching jobs, counted up to a thousand."""
    count, place = 0, None
    while count < _COUNTED:
        page = await call.app.jobs.search(text, within=where, limit=250, cursor=place)
        count, place = count + len(page.items), page.next
        if place is None:
            return Total(count, "eq")
        if not page.items:
            break  # a selective filter: what the search has looked at in one step is enough
    return Total(count, "gte")


class OneJob(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to show of it; everything, if left out."""

    include: Annotated[str, Meta(description="Of args, result, attempts, options, traceback.")] | None = None


@routes.get("/jobs/{id}", tagged=True)
async def get_job(call: Call, id: str, query: OneJob) -> JobView:
    """Show a job."""
    job = await one_job(call, id)
    return view(job) if query.include is None else view(job, read_include(query.include))


async def one_job(call: Call, id: str) -> Job:
    """A job within reach; others answer exactly as those that do not exist."""
    try:
        job = await call.app.jobs.get(id)
    except JobNotFound:
        job = None
    if job is None or not call.caller.reach.sees(job):
        raise not_found(id)
    return job


@routes.patch("/jobs/{id}", tagged=True, example={"priority": 10})
async def edit_job(call: Call, id: str, body: Edit) -> JobView:
    """Change a job's priority; it keeps its age.

    With `If-Match`, only if it still is as the client has seen it.
    """
    job = await one_job(call, id)
    call.require_match(view(job))
    _require(await call.app.jobs.reprioritise(check_priority(body.priority), id, actor=call.caller.actor), id)
    return view(await one_job(call, id))


@routes.delete("/jobs/{id}")
async def delete_job(call: Call, id: str) -> Acted:
    """Delete a job that is not running, with its log."""
    job = await one_job(call, id)
    return _acted(await call.app.jobs.delete(job.id, actor=call.caller.actor), id)


@routes.post("/jobs/{id}/cancel", needs_body=False, example={"reason": "not needed"})
async def cancel_job(call: Call, id: str, body: Why) -> Acted:
    """Cancel a job that has not ended; a running handler is asked to stop."""
    job = await one_job(call, id)
    return _acted(await call.app.jobs.cancel(job.id, reason=body.reason, actor=call.caller.actor), id)


@routes.post("/jobs/{id}/retry", needs_body=False, example={"keep_attempts": False})
async def retry_job(call: Call, id: str, body: Again) -> Acted:
    """Run an ended job again."""
    job = await one_job(call, id)
    acted = await call.app.jobs.requeue(
        ids=[job.id], keep_attempts=body.keep_attempts, revive=body.revive, actor=call.caller.actor
    )
    return _acted(acted, id)


@routes.post("/jobs/{id}/run-now", needs_body=False)
async def run_job_now(call: Call, id: str) -> Acted:
    """Run a delayed or retrying job without waiting for its time."""
    job = await one_job(call, id)
    return _acted(await call.app.jobs.run_now(job.id, actor=call.caller.actor), id)


@routes.post("/jobs/{id}/fail", needs_body=False, example={"reason": "the order was withdrawn"})
async def fail_job(call: Call, id: str, body: Why) -> Acted:
    """Send a job that is not running to the dead letters."""
    job = await one_job(call, id)
    reason = body.reason or f"failed by {call.caller.actor}"
    return _acted(await call.app.jobs.fail(job.id, reason=reason, actor=call.caller.actor), id)


@routes.post(
    "/jobs/{id}/clone", status=202, others={200: Created}, needs_body=False, example={"args": {"to": "b@example.com"}}
)
async def clone_job(call: Call, id: str, body: Clone) -> Reply[Created]:
    """Create a job like this one, with other arguments or options if given."""
    job = await one_job(call, id)
    spec = JobSpec(
        kind=job.kind,
        args={**job.args, **body.args},
        queue=body.queue or job.queue,
        priority=job.priority if body.priority is None else body.priority,
        delay=body.delay,
        max_attempts=job.max_attempts,
        user=job.user,
        project=job.project,
        group=job.group,
    )
    return await store_one(call, await Maker(call).one(spec))


@routes.get("/jobs/{id}/result", others={202: Outcome})
async def get_job_result(call: Call, id: str, query: Wait) -> Reply[Outcome]:
    """How a job ended: 200 once it has, 202 while it has not.

    `wait` holds the answer back until the job ends, a minute at most.
    """
    job = await one_job(call, id)
    wait = seconds(float(query.wait) if query.wait[-1].isdigit() else query.wait, "wait")
    if wait and not job.is_final:
        with contextlib.suppress(JobFailed, JobCancelled, ResultTimeout):  # the job tells it below
            await call.app.result_of(id, min(wait, LONGEST_WAIT))
        job = await one_job(call, id)
    found = view(job, ("result",))
    outcome = Outcome(
        id=job.id,
        state=job.state,
        final=job.is_final,
        progress=job.progress,
        reason=job.reason,
        error=found.error,
        result=found.result if job.state is State.COMPLETED else UNSET,
    )
    return Reply(outcome) if job.is_final else Reply(outcome, status=202, headers={"Retry-After": "1"})


@routes.get("/jobs/{id}/progress")
async def get_job_progress(call: Call, id: str) -> ProgressView:
    """How far a job is."""
    job = await one_job(call, id)
    return ProgressView(
        id=job.id,
        state=job.state,
        progress=job.progress,
        note=job.progress_note,
        attempt=job.attempt,
        started_at=job.started_at,
        finished_at=job.finished_at,
    )


@routes.get("/jobs/{id}/explain")
async def explain_job(call: Call, id: str) -> Explanation:
    """Why a job is not running: every reason, its place in line, when it may start.

    Callers with a reach of their own get the reasons' codes and times, not their facts, which name jobs and keys of others.
    """
    await one_job(call, id)
    found = await call.app.jobs.explain(id)
    if call.caller.reach.everything:
        return found
    plain = [replace(reason, text=reason.code, facts={}, mend=None) for reason in found.reasons]
    return replace(found, reasons=tuple(plain), position=None)


@routes.get("/jobs/{id}/steps")
async def get_job_steps(call: Call, id: str) -> list[StepRecord]:
    """The steps of a durable job that are on record."""
    await one_job(call, id)
    return await call.app.jobs.steps(id)


@routes.post("/jobs/{id}/signals/{name}", needs_body=False, example={"data": {"approved": True}})
async def signal_job(call: Call, id: str, name: str, body: SignalSpec) -> Signalled:
    """Hand a signal to a job whose handler waits for it, or will; 409 if the job has ended."""
    await one_job(call, id)
    delivery = await call.app.jobs.signal(id, name, body.data, actor=call.caller.actor)
    if delivery is Delivery.OVER:
        raise Problem(409, "wrong-state", "the job has ended")
    return Signalled(id=id, delivery=delivery)


@routes.get("/jobs/{id}/log")
async def get_job_log(call: Call, id: str) -> list[LogView]:
    """What a job's handlers logged, oldest first; the newest 1,000 lines are kept."""
    await one_job(call, id)
    return [log_view(line) for line in await call.app.jobs.log(id)]


@routes.get("/jobs/{id}/history")
async def get_job_history(call: Call, id: str) -> History:
    """A job's attempts, and what was done to it from outside."""
    job = await one_job(call, id)
    acts = await (await call.app.store()).audit(id)
    return History(
        id=id, attempts=view(job, ("attempts", "traceback")).attempts or [], acts=[act_view(act) for act in acts]
    )


def log_view(line: StoredLine) -> LogView:
    """A log line as clients see it."""
    return LogView(at=moment(line.at), attempt=line.attempt, level=line.level, text=line.text)


def act_view(entry: AuditEntry) -> ActView:
    """An entry of the audit as clients see it."""
    detail = msgspec.json.decode(entry.detail)
    return ActView(at=moment(entry.at), actor=entry.actor, action=entry.action, target=entry.target, detail=detail)


def _acted(done: Done, id: str) -> Acted:
    _require(done, id)
    return Acted(id=id, outcome="asked" if id in done.flagged else "done")


def _require(done: Done, id: str) -> None:
    """409 for what the job's state does not allow."""
    why = done.refused.get(id)
    if why == "not found":
        raise not_found(id)
    if why is not None:
        raise Problem(409, "wrong-state", f"the job {why}")
