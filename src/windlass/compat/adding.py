"""Adding jobs the founding way: by queue and name, with data and options in the documents' words."""

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from windlass.app import Windlass
from windlass.compat.wording import Wish, read_moment, read_wish
from windlass.declare.handler import Handler
from windlass.declare.rates import read_rate
from windlass.declare.refusal import refusal
from windlass.errors import InvalidArgs, InvalidOption, JobNotFound, UnknownKind
from windlass.flowcontrol.limits import RateStatus
from windlass.flowcontrol.quota import exceeded, quota_key
from windlass.produce.ref import JobRef
from windlass.values.clock import moment
from windlass.values.job import NewJob
from windlass.values.limit import Rate, Take
from windlass.workflows.flow import WorkflowRef
from windlass.workflows.workflow import Node, batch, chain, chunks


async def find_handler(app: Windlass, queue: str, name: str | None = None) -> Handler[..., Any]:
    """The handler of a founding job: the kind `name` of that queue, else the kind that is called like the queue, else the
    only kind of the queue, else the kind `name` of another queue. Raises `UnknownKind`."""
    named = None if name is None else await _find(app, name)
    if named is not None and named.queue == queue:
        return named
    alike = await _find(app, queue)
    if alike is not None:
        return alike
    if named is not None:
        return named
    infos = await app.published_kinds()
    inside = app.kinds.of_queue(queue) | {info.name for info in infos if info.queue == queue}
    if name is None and len(inside) == 1:
        return await app.find_kind(inside.pop())
    raise app.kinds.unknown(name or queue, [info.name for info in infos])


async def make_job(app: Windlass, queue: str, wish: Wish) -> NewJob[Any]:
    """The job of a wish in that queue, not yet stored."""
    handler = (await find_handler(app, queue, wish.name)).options(queue=queue, **wish.options)
    if wish.name is not None and wish.name != handler.kind:
        handler = handler.options(name=wish.name)
    if "self" in wish.data:  # a name that Python takes before the handler could refuse it
        raise InvalidArgs(f"{handler.kind}: there is no parameter of this name", field="self", kind=handler.kind)
    return handler.job(**wish.data)


async def add_job(
    app: Windlass,
    queue: str,
    job: str | Mapping[str, Any],
    data: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> JobRef[Any]:
    """Add a job: `add_job(queue, {"name": ..., "data": ...}, options)` or `add_job(queue, name, data, options)`."""
    if isinstance(job, Mapping):
        if options is not None:
            raise refusal("options", dict(options), "the third argument behind {name, data}", "leave the fourth out")
        name, data, options = job.get("name"), job.get("data"), data
    else:
        name = job
    wish = {"name": name, "data": dict(data or {}), "options": dict(options or {})}
    return await app.submit(await make_job(app, queue, read_wish(wish)))


async def add_dependent_job(
    app: Windlass, job: Mapping[str, Any], parent_id: str, parent_queue: str | None = None
) -> JobRef[Any]:
    """A job that starts when its parent has completed: `{"queueName", "name", "data"}`. Raises `JobNotFound` if the parent is in
    another queue than it is said to be."""
    parent = await app.jobs.get(parent_id)
    if parent_queue is not None and parent.queue != parent_queue:
        raise JobNotFound(f"there is no job {parent_id!r} in the queue {parent_queue!r}", id=parent_id)
    queue, wish = _placed(job)
    wish.options["after"] = [parent_id]
    return await app.submit(await make_job(app, queue, wish))


async def chain_jobs(app: Windlass, jobs: Sequence[Mapping[str, Any]]) -> list[JobRef[Any]]:
    """Jobs one behind the other, across queues; each starts when the one before it has completed."""
    made: list[Node[Any]] = [await make_job(app, *_placed(job)) for job in jobs]
    if not made:
        return []
    ref: WorkflowRef[Any] = await app.run(chain(*made[:-1], made[-1]))
    return [app.ref(job) for job in ref.jobs]


async def add_batch_jobs(app: Windlass, queue: str, jobs: Sequence[Mapping[str, Any]]) -> list[JobRef[Any]]:
    """Many jobs of a queue at once, all or none."""
    made = [await make_job(app, queue, _placed({"queueName": queue, **job})[1]) for job in jobs]
    return await app.enqueue_many(made)


async def create_batch_job(
    app: Windlass,
    queue: str,
    items: Sequence[Any],
    processor: Handler[..., Any] | Callable[[list[Any]], Any],
    options: Mapping[str, Any] | None = None,
) -> WorkflowRef[Any]:
    """Process items, `batchSize` (10) in each job of `processor`: a job of the app, or a function, which becomes one.

    A function is known to workers of this app in this process; for other processes decorate it where they import it."""
    given = dict(options or {})
    size = given.pop("batchSize", given.pop("batch_size", 10))
    if given or not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise refusal("options", options, "{batchSize: 1 or more}", "use {'batchSize': 10}")
    if not isinstance(processor, Handler):
        processor = cast("Any", app.job(queue=queue)(processor))
    handler = cast("Handler[..., Any]", processor).options(queue=queue)
    return await app.run(batch([handler.job(part) for part in chunks(items, size)], name=f"batch:{queue}"))


async def add_job_with_rate_limit(
    app: Windlass,
    queue: str,
    job: Mapping[str, Any],
    user: str,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Add a user's job if the rate allows: `{"job", "rateLimit"}`. `rateLimits[queue]` (`{"max", "window"}`, milliseconds) goes
    before the kind's own `per_user_rate`. Raises `RateLimitExceeded`, which knows `reset_at`."""
    given = dict(options or {})
    rates = cast("Mapping[str, Any]", given.pop("rateLimits", given.pop("rate_limits", None)) or {})
    _, wish = _placed({"queueName": queue, **job, "options": {**given, "userId": user}})
    made = await make_job(app, queue, wish)
    if queue not in rates:
        ref = await app.submit(made)
        return {"job": ref, "rateLimit": await rate_limit_status(app, user, queue)}
    rate = read_rate(rates[queue], f"rateLimits.{queue}")
    store = await app.store()
    (taken,) = await store.take([Take(quota_key(made.kind, user), rate)])
    if not taken.granted:
        raise exceeded(taken, rate, made, 1)
    # Straight to the store: this call's own rate has been asked, and takes the place of the kind's.
    answer = await (await app.stores.here()).producer.one(made)
    status = _status(taken.count, rate, moment(taken.reset_at))
    return {"job": app.ref(answer.id), "rateLimit": status}


async def rate_limit_status(
    app: Windlass, user: str, queue: str, limit: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """How much of a user's rate in a queue is used: `{"count", "limit", "remaining", "resetAt"}`; None if there is no limit.
    `limit`: of an override, the same `{"max", "window"}` as it was called with."""
    handler = await find_handler(app, queue)
    if limit is not None:
        rate = read_rate(limit, "limit")
        (taken,) = await (await app.store()).take([Take(quota_key(handler.kind, user), rate, 0)])
        return _status(taken.count, rate, moment(taken.reset_at))
    if handler.declared.quota is None:
        return None
    found: RateStatus = await app.limits.status(user=user, kind=handler.kind)
    return {
        "count": found["count"],
        "limit": found["limit"],
        "remaining": found["remaining"],
        "resetAt": found["reset_at"],
    }


async def schedule_job(app: Windlass, queue: str, job: Mapping[str, Any], at: datetime | str) -> JobRef[Any]:
    """A job for a date."""
    return await add_job(app, queue, job, {"runAt": read_moment(at, "date")})


async def add_email_job(
    app: Windlass, data: Mapping[str, Any], options: Mapping[str, Any] | None = None
) -> JobRef[Any]:
    """Send an email: `to` (one, or a list), `subject`, `template`, `data`, and perhaps its `priority` among them."""
    given = dict(options or {})
    data = dict(data)
    if "priority" in data:
        given.setdefault("priority", data.pop("priority"))
    if not data.get("to"):
        raise InvalidArgs("an email needs somebody it is for", field="to", mend="give to=")
    return await add_job(app, "email-sending", {"name": "send-email", "data": data}, given)


async def add_file_job(app: Windlass, data: Mapping[str, Any], options: Mapping[str, Any] | None = None) -> JobRef[Any]:
    """Process a file, if `MAX_FILE_SIZE` and `ALLOWED_FILE_TYPES` allow it."""
    check_file(data)
    return await add_job(app, "file-processing", {"name": "file-processing", "data": data}, options)


def check_file(data: Mapping[str, Any]) -> None:
    """Refuse a file above `MAX_FILE_SIZE` bytes or of none of `ALLOWED_FILE_TYPES`, where these variables are set. Raises
    `InvalidArgs`."""
    most, types = os.environ.get("MAX_FILE_SIZE", ""), os.environ.get("ALLOWED_FILE_TYPES", "")
    if most and not most.isdecimal():
        raise InvalidOption(f"MAX_FILE_SIZE is {most!r}; it must be a number of bytes", field="MAX_FILE_SIZE")
    size, kind = data.get("fileSize"), data.get("fileType")
    if most and isinstance(size, int) and size > int(most):
        raise InvalidArgs(f"the file has {size} bytes; {most} are allowed", field="fileSize", limit=int(most))
    allowed = [each.strip() for each in types.split(",") if each.strip()]
    if allowed and kind is not None and kind not in allowed:
        raise InvalidArgs(f"files of type {kind} are not allowed", field="fileType", limit=allowed)


def helper(queue: str, name: str) -> Callable[..., Any]:
    """A function that adds jobs of one name to one queue."""

    async def add(app: Windlass, data: Mapping[str, Any], options: Mapping[str, Any] | None = None) -> JobRef[Any]:
        return await add_job(app, queue, {"name": name, "data": data}, options)

    add.__doc__ = f"Add a {name} job to the queue {queue}."
    return add


async def add_scheduled_post(app: Windlass, data: Mapping[str, Any], at: datetime | str) -> JobRef[Any]:
    """A post for a date."""
    return await schedule_job(app, "scheduled-posts", {"name": "scheduled-posts", "data": data}, at)


def _placed(job: Mapping[str, Any]) -> tuple[str, Wish]:
    """The queue of `{"queueName", "name", "data"}`, and the rest as a wish."""
    words = {"queueName" if name == "queue_name" else name: value for name, value in job.items()}
    queue = words.pop("queueName", None)
    if not isinstance(queue, str) or not queue:
        raise refusal("queueName", queue, "a queue's name", "name the queue")
    return queue, read_wish({"data": {}, **words})


def _status(count: int, rate: Rate, reset_at: datetime) -> dict[str, Any]:
    return {"count": count, "limit": rate.n, "remaining": max(0, rate.n - count), "resetAt": reset_at}


async def _find(app: Windlass, kind: str) -> Handler[..., Any] | None:
    try:
        return await app.find_kind(kind)
    except UnknownKind:
        return None
