"""What founding requests describe, made into jobs and schedules by the canonical way."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

import msgspec

from windlass.api.caller import Role
from windlass.api.operation import Call, Reply
from windlass.api.problems import Flaw, Problem, malformed
from windlass.api.routes.jobs import store_one
from windlass.api.specs import BackoffSpec, JobOptionsSpec, JobSpec, Maker, UniqueSpec
from windlass.compat.adding import find_handler
from windlass.compat.wording import RESERVED, Wish, read_milliseconds, read_wish
from windlass.declare.unique import Unique
from windlass.produce.ids import new_id
from windlass.values.retry import Backoff

MISSING: Mapping[str, str] = {
    "removeOnComplete": "retention of a single job; WINDLASS_KEEP_COMPLETED_COUNT is the installation's",
    "removeOnFail": "retention of a single job; WINDLASS_KEEP_FAILED_COUNT is the installation's",
    "webhook": "webhooks",
    "webhookUrl": "webhooks",
    "callbackUrl": "webhooks",
    "alert": "alerts",
}
"""What a request may ask for beside its data and nothing here does yet: said, rather than ignored."""


async def create(call: Call, place: str, body: Mapping[str, Any], *, queue: bool) -> Reply[dict[str, Any]]:
    """Store the job that a body describes: of the type `place`, or (`queue`) in the queue of that name."""
    refuse_reserved(place)
    refuse_missing(body)
    wish = read_wish(body)
    spec = await spec_of(call, place, wish, queue=queue)
    made = await store_one(call, await Maker(call).one(spec))
    found = made.value
    reply = {
        "success": True,
        "id": found.id,
        "jobId": found.id,
        "jobType": found.kind,
        "queueName": await _queue_of(call, found.id),
        "name": wish.name or found.kind,
        "deduplicated": found.deduplicated,
        "href": found.href,
    }
    return Reply(reply, status=made.status, headers=made.headers)


async def recur(call: Call, place: str, body: Mapping[str, Any], timing: Mapping[str, Any]) -> dict[str, Any]:
    """Store a schedule that makes the job of a body again and again."""
    refuse_reserved(place)
    refuse_missing(body)
    spec = await spec_of(call, place, read_wish(body), queue=False)
    own = {name: getattr(spec, name) for name in JobOptionsSpec.__struct_fields__}
    job = await Maker(call).one(JobOptionsSpec(**own))
    key = f"recurring:{call.seed or new_id()}"
    put: Any = call.app.schedules.put
    schedule = await put(key, job, actor=call.caller.actor, **timing)
    return {
        "success": True,
        "id": key,
        "recurringJobId": key,
        "jobType": schedule.kind,
        "queueName": schedule.queue,
        "schedule": schedule.when,
        "timezone": schedule.timezone,
        "nextRunAt": schedule.next_at,
    }


async def spec_of(call: Call, place: str, wish: Wish, *, queue: bool) -> JobSpec:
    """The description of a wish's job. Users do not say of themselves on which plan they are, nor what they weigh."""
    handler = await find_handler(call.app, place, wish.name)
    options = dict(wish.options)
    if call.caller.role is Role.USER:
        options.pop("plan", None)
        options.pop("weight", None)
    found: dict[str, Any] = {"kind": handler.kind, "args": wish.data, **options}
    if queue:
        found["queue"] = place
    if wish.name is not None and wish.name != handler.kind:
        found["name"] = wish.name
    backoff, unique = found.get("backoff"), found.get("unique")
    if isinstance(backoff, Backoff):
        found["backoff"] = BackoffSpec(**{name: getattr(backoff, name) for name in BackoffSpec.__struct_fields__})
    if isinstance(unique, Unique):
        found["unique"] = UniqueSpec(key=unique.key)
    try:
        return msgspec.convert(msgspec.to_builtins(found, builtin_types=(datetime,)), JobSpec)
    except msgspec.ValidationError as error:
        raise malformed(error) from None


def take_place(body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The job type or queue that a body names, and the rest of it."""
    rest = dict(body)
    given = [rest.pop(word) for word in ("jobType", "queueName") if word in rest]
    if not given or not isinstance(given[0], str) or not given[0]:
        raise unfit("/jobType", "name the job type")
    return given[0], rest


def take_timing(body: dict[str, Any]) -> dict[str, Any]:
    """When a recurring job is due, taken out of its body: `cronExpression` (or `cron`), or `every` so many milliseconds."""
    crons = [body.pop(word) for word in ("cronExpression", "cron") if word in body]
    timing: dict[str, Any] = {"timezone": body.pop("timezone", "UTC")}
    if not isinstance(timing["timezone"], str):
        raise unfit("/timezone", "a zone is text, such as Europe/Berlin")
    if crons:
        if not isinstance(crons[0], str):
            raise unfit("/cronExpression", "a cron expression is text")
        timing["cron"] = crons[0]
    if "every" in body:
        timing["every"] = read_milliseconds(body.pop("every"), "every")
    return timing


def refuse_reserved(place: str) -> None:
    """Refuse a queue or type that these paths could not reach: its name is one of their own words."""
    if place in RESERVED:
        why = f"no queue and no job type may be called {place!r} here: the word is part of these paths"
        raise Problem(422, "reserved-name", why, mend="choose another name, or use /api/v1, which reaches any")


def refuse_missing(body: Mapping[str, Any]) -> None:
    """Refuse what there is not yet. In a body without `data` these words are data."""
    options: Any = body.get("options")
    asked = {*body, *cast("Mapping[str, Any]", options if isinstance(options, Mapping) else {})}
    words = sorted(asked & set(MISSING)) if isinstance(body.get("data"), Mapping) else []
    if words:
        flaws = [Flaw(f"there is no such thing yet: {MISSING[word]}", "not-available", f"/{word}") for word in words]
        raise Problem(501, "not-available", f"not available yet: {MISSING[words[0]]}", flaws=flaws)


def unfit(pointer: str, message: str) -> Problem:
    """The problem of a body that lacks something."""
    return Problem(422, "invalid-body", message, flaws=[Flaw(message, "invalid", pointer)])


async def _queue_of(call: Call, id: str) -> str:
    return (await call.app.jobs.get(id)).queue
