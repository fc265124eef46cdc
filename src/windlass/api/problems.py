"""Problem documents (RFC 9457): the one shape of every error, and which error of Windlass has which status."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import msgspec

from windlass import errors
from windlass.errors import WindlassError
from windlass.values.codec import complaint

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:windlass:problem:"
"""Prefix of `type`; the rest is the problem's `code`."""


class Flaw(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing wrong with a request: where (`pointer`, a JSON pointer into the body, or `parameter`), and what."""

    message: str
    code: str
    pointer: str | None = None
    parameter: str | None = None


class ProblemDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong. Programs go by `code`, which is stable; `detail` is for people."""

    type: str
    title: str
    status: int
    code: str
    request_id: str
    detail: str = ""
    instance: str = ""
    mend: str = ""
    suggestions: Sequence[str] = ()
    errors: Sequence[Flaw] = ()


class Problem(Exception):
    """An answer that is not the one asked for. `headers`: what it adds to the response."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str = "",
        *,
        flaws: Sequence[Flaw] = (),
        headers: Mapping[str, str] | None = None,
        mend: str = "",
        suggestions: Sequence[str] = (),
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail
        self.flaws = flaws
        self.headers: dict[str, str] = dict(headers or {})
        self.mend = mend
        self.suggestions = suggestions

    def document(self, path: str, request_id: str) -> bytes:
        """The body."""
        return msgspec.json.encode(
            ProblemDocument(
                type=TYPE + self.code,
                title=HTTPStatus(self.status).phrase,
                status=self.status,
                code=self.code,
                request_id=request_id,
                detail=_printable(self.detail),
                instance=_printable(path),
                mend=_printable(self.mend),
                suggestions=tuple(self.suggestions),
                errors=tuple(self.flaws),
            )
        )


def malformed(error: Exception) -> Problem:
    """The problem of a body that is no JSON, or does not have the right shape."""
    if isinstance(error, msgspec.ValidationError):
        path, text = complaint(error)
        flaw = Flaw(text, "invalid", pointer=pointer(path))
        return Problem(422, "invalid-body", "the body does not have the right shape", flaws=[flaw])
    text = "is nested too deep" if isinstance(error, RecursionError) else "is not JSON text in UTF-8"
    return Problem(400, "malformed-body", f"the body {text}")


def misasked(error: msgspec.ValidationError) -> Problem:
    """The problem of a query parameter that is unknown or does not fit."""
    path, text = complaint(error)
    name = re.split(r"[.\[]", path)[0]
    text = text.replace("Object contains unknown field", "There is no parameter")
    return Problem(422, "invalid-parameter", "a parameter does not fit", flaws=[Flaw(text, "invalid", parameter=name)])


def problem_of(error: WindlassError, prefix: str = "") -> Problem:
    """The problem of an error that Windlass raised; `prefix` is where in the body the job stands that caused it."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    if isinstance(error, errors.RateLimitExceeded):
        return Problem(429, error.code, error.message, headers=_wait(error.facts.get("reset_at")))
    if isinstance(error, errors.StoreError):  # its text names hosts and files, which are nobody's business outside
        return Problem(503, error.code, "the store cannot do that now", headers={"Retry-After": "1"})
    if status == 500:
        return Problem(500, "internal", "something went wrong here")
    facts = error.facts
    flaws: list[Flaw] = []
    field = facts.get("field")
    if status in (413, 422) and isinstance(field, str):
        inside = f"args.{field}" if isinstance(error, errors.InvalidArgs) and field != "jobs" else field
        if field in ("q", "cursor", "limit"):
            flaws.append(Flaw(_printable(error.message), error.code, parameter=field))
        else:
            flaws.append(Flaw(_printable(error.message), error.code, pointer=prefix + pointer(inside)))
    elif prefix:
        flaws.append(Flaw(_printable(error.message), error.code, pointer=prefix))
    mend = "GET /api/v1/kinds lists those there are" if isinstance(error, errors.UnknownKind) else facts.get("mend", "")
    return Problem(
        status,
        error.code,
        error.message,
        flaws=flaws,
        mend=mend if isinstance(mend, str) else "",
        suggestions=[str(name) for name in facts.get("suggestions", ())],
    )


def _wait(until: object) -> dict[str, str]:
    """When to come again."""
    if not isinstance(until, datetime):
        return {}
    return {"Retry-After": str(max(1, math.ceil((until - datetime.now(UTC)).total_seconds())))}


def pointer(path: str) -> str:
    """A field path such as `items[3].price` as a JSON pointer."""
    parts = re.findall(r'\["((?:[^"\\]|\\.)*)"\]|\[(\d+|\.\.\.)\]|([^.\[\]]+)', path)
    names = (next(part for part in found if part) for found in parts if any(found))
    return "".join(f"/{_printable(name).replace('~', '~0').replace('/', '~1')}" for name in names)


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


_STATUS: tuple[tuple[type[WindlassError], int], ...] = (
    (errors.TooLarge, 413),
    (errors.BatchTooLarge, 413),
    (errors.JobNotFound, 404),
    (errors.ScheduleNotFound, 404),
    (errors.ErrorGroupNotFound, 404),
    (errors.WebhookNotFound, 404),
    (errors.TemplateNotFound, 404),
    (errors.AlertRuleNotFound, 404),
    (errors.ChannelNotFound, 404),
    (errors.ScheduleError, 422),
    (errors.InvalidOption, 422),
    (errors.InvalidArgs, 422),
    (errors.InvalidWorkflow, 422),
    (errors.UnknownKind, 422),
    (errors.UnknownParent, 422),
    (errors.RateLimitExceeded, 429),
    (errors.LimitReached, 409),
)


def describe(value: Any) -> str:
    """A short, safe text of something a client sent, for messages."""
    return _printable(repr(value))[:100]
