"""What is told: an event as it waits to be sent, and the body that its receiver gets."""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec

from windlass.values.clock import Micros
from windlass.values.job import ErrorInfo, Job
from windlass.values.outcome import Finish
from windlass.values.states import Event
from windlass.webhooks.endpoint import Endpoint

ENDED: Mapping[Event, str] = {
    Event.COMPLETE: "job.completed",
    Event.FAIL: "job.failed",
    Event.ABORT: "job.cancelled",
    Event.RETRY: "job.retrying",
}
_STATES = {
    "job.completed": "completed",
    "job.failed": "failed",
    "job.cancelled": "cancelled",
    "job.retrying": "retrying",
}
_ERROR = msgspec.json.Decoder(ErrorInfo)


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event on its way. What does not change any more is here, so that every try sends the same; the rest (`job`: whose) is
    read when it is sent."""

    type: str
    at: datetime | None = None
    job: str | None = None
    queue: str = ""
    kind: str = ""
    reason: str | None = None
    error: dict[str, str] | None = None
    data: dict[str, Any] | None = None


def of_finish(end: Finish, event: str, now: datetime) -> Message:
    """What an attempt's end says."""
    return Message(
        type=event, at=now, job=end.id, queue=end.queue, kind=end.kind, reason=end.reason, error=_told(end.error)
    )


def of_job(job: Job) -> Message:
    """What a job says that no attempt ended: cancelled, expired, or failed by command or by a parent."""
    info = job.error
    error = None if info is None else _short(info)
    event = "job.failed" if job.state == "failed" else "job.cancelled"
    return Message(
        type=event, at=job.finished_at, job=job.id, queue=job.queue, kind=job.kind, reason=job.reason, error=error
    )


def body(id: str, message: Message, job: Job | None, endpoint: Endpoint, *, closed: bool) -> bytes:
    """The JSON that is sent. `job`: as it is now, for what of it never changes; None if it is gone. `closed`: its kind is
    encrypted, so neither arguments nor results go out."""
    data: dict[str, Any] = dict(message.data or {})
    if message.job is not None:
        data |= {
            "id": message.job,
            "kind": message.kind,
            "queue": message.queue,
            "state": _STATES.get(message.type),
            "reason": message.reason,
            "error": message.error,
        }
    if job is not None:
        data |= {
            "user": job.user,
            "project": job.project,
            "workflow": job.workflow,
            "name": job.name,
            "tags": job.tags,
            "created_at": job.created_at,
            "max_attempts": job.max_attempts,
        }
        if not closed:
            data |= {part: getattr(job, part) for part in endpoint.include}
    return msgspec.json.encode({"id": id, "type": message.type, "timestamp": message.at, "data": data})


def settled_id(*parts: str, at: Micros) -> str:
    """A job id made of what it is about: told twice, it is one job. Sorts by `at` like any other id."""
    digest = bytearray(sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()[:16])
    digest[0:6] = (at // 1_000).to_bytes(6, "big")
    digest[6] = 0x70 | digest[6] & 0x0F
    digest[8] = 0x80 | digest[8] & 0x3F
    return str(UUID(bytes=bytes(digest)))


def _told(error: str | None) -> dict[str, str] | None:
    return None if error is None else _short(_ERROR.decode(error))


def _short(info: ErrorInfo) -> dict[str, str]:
    """Neither the trace nor more of the text than a line: it goes outside."""
    return {
        "type": info.type,
        "message": info.message[:500],
        "category": info.category,
        "fingerprint": info.fingerprint,
    }


def encoded(message: Message) -> str:
    """A message as an argument of the job that sends it."""
    return msgspec.json.encode(message).decode()
