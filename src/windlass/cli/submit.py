"""Enqueueing one job from the command line, and waiting for it."""

import asyncio
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from windlass.cli.listing import as_json
from windlass.cli.options import Form
from windlass.cli.show import emit_json, note
from windlass.cli.target import Target
from windlass.errors import InvalidArgs
from windlass.values.codec import encode
from windlass.values.priority import check_priority

_JSON: dict[Any, str] = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}

if TYPE_CHECKING:
    from windlass.app import Windlass


class Submission(NamedTuple):
    """A job as the command line gives it; `options` are those of `Handler.options`."""

    kind: str
    args: dict[str, Any]
    options: dict[str, Any]
    wait: bool
    timeout: str | None


def read_args(text: str) -> dict[str, Any]:
    """The arguments as an object; `-` reads them from stdin. `InvalidArgs` for anything but a JSON object."""
    if text == "-":
        text = sys.stdin.read()
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidArgs(
            f"the arguments are not JSON: {error}", field="args", mend="""quote them: '{"name": "value"}'"""
        ) from None
    if not isinstance(value, dict):
        found = _JSON.get(type(value), "a number")
        raise InvalidArgs(
            f"the arguments are {found}; they must be one JSON object by parameter name",
            field="args",
            mend="""write '{"name": "value"}'""",
        )
    return cast(dict[str, Any], value)


def submit(target: Target, job: Submission, form: Form) -> None:
    """Enqueue; print the id (or, waiting, the result)."""
    asyncio.run(_submit(target, job, form))


async def _submit(target: Target, job: Submission, form: Form) -> None:
    given = dict(job.options)
    if "priority" in given:
        given["priority"] = _priority(given["priority"])
    app = target.load()
    async with app:
        handler = app.kind(job.kind)
        ref = await (handler.options(**given) if given else handler).enqueue(**job.args)
        if not ref.created:
            note(f"not enqueued again: job {ref.id} holds the unique key {given.get('unique')!r}")
        if not job.wait:
            if form is Form.JSON:
                emit_json({"id": ref.id, "kind": job.kind, "created": ref.created})
            else:
                print(ref.id)
            return
        await _warn_unserved(app, ref.id, target)
        result = _plain(await ref.result(timeout=job.timeout))
    if form is Form.JSON:
        emit_json({"id": ref.id, "kind": job.kind, "created": ref.created, "result": result})
    elif form is Form.IDS:
        print(ref.id)
    else:
        print(as_json(result))


def _plain(result: Any) -> Any:
    """A result as JSON's own values, as it was stored: its handler's type may be one that only its own code can encode."""
    return msgspec.json.decode(encode(result, "result", sys.maxsize, "result"))


async def _warn_unserved(app: "Windlass", id: str, target: Target) -> None:
    """Who waits for a job that nobody works on should know why nothing comes."""
    store = await app.store()
    queue, now = (await app.jobs.get(id)).queue, await store.now()
    alive = (worker for worker in await store.workers() if now - worker.seen_at <= worker.lease)
    if not any(worker.queues is None or queue in worker.queues for worker in alive):
        flags = target.flags if target.app is not None else f" -A module:app{target.flags}"
        note(f"job {id} waits: no live worker serves queue {queue}; start one: windlass worker{flags}")


def _priority(text: str) -> int:
    try:
        return check_priority(int(text))
    except ValueError:
        return check_priority(text)
