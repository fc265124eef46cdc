"""Jobs: create one or many, list and search."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from windlass.api.ids import seeded
from windlass.api.operation import Call, Reply, Routes
from windlass.api.paging import Cursor, Limit, Listing, Total, listing, read_cursor
from windlass.api.problems import Flaw, Problem
from windlass.api.specs import JobSpec, Maker, Name, check_parents, placed
from windlass.api.views import JobView, read_include, view
from windlass.errors import WindlassError
from windlass.produce.producer import MOST_JOBS
from windlass.values.job import Enqueued, Job, NewJob
from windlass.values.query import Page, Where

routes = Routes("jobs", "Create jobs, look at them, act on them.")

V = TypeVar("V")

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
    include: Annotated[str, Meta(description="Of args, result, attempts, options, traceback, preview.")] | None = None
    limit: Limit = 50
    cursor: Cursor | None = None
    total: bool = False


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


async def find_jobs(
    call: Call,
    asked: JobFilter,
    within: Where | None = None,
    show: Callable[[Job, tuple[str, ...]], V] = view,
    more: Any = None,
) -> Reply[Listing[V]]:
    """A page of the jobs that a filter describes, within the caller's reach. `show`: what clients see of each; `more`: what
    else tells this question from others."""
    include = read_include(asked.include)
    text = question_of(asked)
    where = call.caller.reach.narrow(within or Where())
    question = (text, asked.user, asked.project, within.states if within else (), *([] if more is None else [more]))
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
    return listing(call, question, [show(job, include) for job in page.items], page.next, total)


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
