"""Veil: what is kept secret of one kind, and how its jobs, ends and notes are sealed and opened."""

import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from windlass.secrecy.marks import (
    MARK,
    SHOWN,
    STARS,
    TEXT_MARK,
    any_sealed,
    is_sealed,
    shown,
    shown_args,
    shown_text,
    texts_of,
)
from windlass.secrecy.ring import SHARED, Keys, missing, read_token, subject_of
from windlass.values.job import Claim, ErrorInfo, Job, NewJob, Trail
from windlass.values.outcome import DEADLINE, RATE_LIMITED, Finish

ARGS, RESULT, ERROR, LOG = "args", "result", "error", "log"

_ERROR = msgspec.json.Decoder(ErrorInfo)
_TRAIL = msgspec.json.Decoder(Trail)
_OWN_REASONS = re.compile(
    "|".join(
        (
            f"{re.escape(DEADLINE)}|{re.escape(RATE_LIMITED)}",
            "permanent error|attempts used up|cancelled|cancelled while its worker was lost|stalled|rescued|sleeps|expired",
            r"waits for [^ ]+|worker shut down|its lease could not be renewed in time|kind unknown to the worker",
            "not started in time for its rate|what its parents returned could not be read",
        )
    )
)
"""Reasons that Windlass gives; any other is a handler's text."""


class OpenClaim(Claim, frozen=True, gc=False):
    """A claim with plain arguments, which its `repr` does not tell."""

    def __repr__(self) -> str:
        return f"OpenClaim(id={self.id!r}, kind={self.kind!r}, args={STARS!r})"


class OpenJob(Job, frozen=True):
    """A job with plain arguments and result, which its `repr` does not tell."""

    def __repr__(self) -> str:
        return f"OpenJob(id={self.id!r}, kind={self.kind!r}, state={str(self.state)!r}, args={STARS!r})"


class Revealed(msgspec.Struct, frozen=True):
    """What is behind a failed job's `[encrypted]`."""

    message: str
    traceback: str


class Veil:
    """`whole`: arguments, result and all texts. Else the `fields` of the arguments, and the result if `result`; of texts, the
    values of those fields are blotted out. Steps, cursors and signals are sealed either way: they are made from the secrets."""

    def __init__(
        self, kind: str, keys: Callable[[], Keys | None], *, whole: bool, fields: Iterable[str], result: bool
    ) -> None:
        self.kind = kind
        self.whole = whole
        self.fields = tuple(fields)
        self.result = whole or result
        self._keys = keys

    @property
    def keys(self) -> Keys:
        """The app's; raises `EncryptionKeyMissing` when it has none."""
        keys = self._keys()
        if keys is None:
            raise missing(None, self.kind, None)
        return keys

    # jobs

    def seal_args(self, args: str, job: NewJob[Any]) -> str:
        """The arguments of a job as the store gets them."""
        keys = self.keys
        key = job.unique
        # Arguments that may replace those of another job of the unique key belong to the key.
        shared = key is not None and key.on_conflict in ("replace", "rerun")
        subject = SHARED + keys.digest(key.key) if key is not None and shared else job.id
        if self.whole:
            return _member(keys.seal(args, self.kind, subject, ARGS))
        given = msgspec.json.decode(args, type=dict[str, msgspec.Raw])
        sealed = {
            name: msgspec.Raw(_member(keys.seal(bytes(raw).decode(), self.kind, subject, f"arg {name}")).encode())
            for name, raw in given.items()
            if name in self.fields
        }
        return msgspec.json.encode({**given, **sealed}).decode()

    def plain_args(self, args: str, id: str) -> str:
        """The plain arguments of the job `id`; as they are if they were stored before the kind was encrypted."""
        return open_args(self.keys, self.kind, id, args)

    def open_claim(self, claim: Claim) -> Claim:
        """The claim as its handler needs it; raises `EncryptionKeyMissing`, `SealBroken`."""
        return _opened(claim, self.plain_args(claim.args, claim.id))

    def bind(self, job: NewJob[Any]) -> NewJob[Any]:
        """The job sealed for its id, if it was sealed for the id of the one that it is a copy of."""
        given = msgspec.json.decode(job.args, type=dict[str, Any])
        tokens = [value[MARK] for value in (given, *given.values()) if is_sealed(value)]
        source = subject_of(tokens[0]) if tokens else job.id
        if source == job.id or source.startswith(SHARED):
            return job
        return replace(job, args=self.seal_args(self.plain_args(job.args, source), job))

    def digest(self, text: str) -> str:
        """A keyed hash, for keys that are made of arguments."""
        return self.keys.digest(f"{self.kind}\x00{text}")

    # ends

    def close(self, claim: Claim, finish: Finish) -> Finish:
        """The end of an attempt as the store gets it."""
        changes: dict[str, Any] = {}
        if finish.result is not None and self.result:
            changes["result"] = self.seal_value(finish.result, claim.id, RESULT)
        if finish.error is None and finish.trail is None and finish.reason is None:
            return replace(finish, **changes) if changes else finish
        words = () if self.whole else self.words(claim)
        if finish.error is not None:
            changes["error"] = _json(self._close_error(_ERROR.decode(finish.error), claim.id, words))
        if finish.trail is not None:
            trail = _TRAIL.decode(finish.trail)
            error = None if trail.error is None else self._close_error(trail.error, claim.id, words)
            changes["trail"] = _json(replace(trail, error=error, reason=self._close_reason(trail.reason, words)))
        changes["reason"] = self._close_reason(finish.reason, words)
        return replace(finish, **changes)

    def bind_result(self, text: str, made_by: str, id: str) -> str:
        """A kept result of the job `made_by` as that of the job `id`, which it answers."""
        value = msgspec.json.decode(text)
        if not is_sealed(value):
            return text
        return self.seal_value(self.keys.open(value[MARK], self.kind, made_by, RESULT), id, RESULT)

    def seal_value(self, text: str, id: str, purpose: str) -> str:
        """A JSON value as the store gets it."""
        return _member(self.keys.seal(text, self.kind, id, purpose))

    def seal_text(self, text: str, id: str, purpose: str) -> str:
        """A text as the store gets it."""
        return TEXT_MARK + self.keys.seal(text, self.kind, id, purpose)

    def words(self, claim: Claim) -> tuple[str, ...]:
        """The secrets of a claim as they may stand in texts, the longest first."""
        given = msgspec.json.decode(claim.args, type=dict[str, Any])
        found: set[str] = set()
        texts_of([given[name] for name in self.fields if name in given], found)
        for text in list(found):
            found |= {repr(text)[1:-1], _json(text)[1:-1], text.encode("utf-8", "backslashreplace").decode()}
            found |= {line for line in text.splitlines() if len(line) >= _LINE}
        return tuple(sorted(found, key=len, reverse=True))

    def _close_error(self, error: ErrorInfo, id: str, words: tuple[str, ...]) -> ErrorInfo:
        if not self.whole:
            return replace(
                error,
                message=blot(error.message, words),
                traceback=blot(error.traceback, words),
                reason=blot(error.reason, words),
            )
        if error.message == SHOWN:  # sealed before
            return error
        hidden = self.seal_text(_json(Revealed(error.message, error.traceback)), id, ERROR)
        return replace(error, message=SHOWN, traceback=hidden)

    def _close_reason(self, reason: str | None, words: tuple[str, ...]) -> str | None:
        if reason is None or _OWN_REASONS.fullmatch(reason):
            return reason
        return SHOWN if self.whole else blot(reason, words)


_LINE = 8


def open_args(keys: Keys, kind: str, id: str, args: str) -> str:
    """Arguments with everything that is sealed opened."""
    given = msgspec.json.decode(args, type=dict[str, Any])
    if is_sealed(given):
        return keys.open(given[MARK], kind, id, ARGS)
    opened = {
        name: msgspec.Raw(keys.open(value[MARK], kind, id, f"arg {name}").encode())
        for name, value in given.items()
        if is_sealed(value)
    }
    if not opened:
        return args
    return msgspec.json.encode({**msgspec.json.decode(args, type=dict[str, msgspec.Raw]), **opened}).decode()


def open_value(keys: Keys, kind: str, id: str, purpose: str, value: Any) -> Any:
    """A result, step or signal; as it is if it is not sealed."""
    return msgspec.json.decode(keys.open(value[MARK], kind, id, purpose)) if is_sealed(value) else value


def open_error(keys: Keys, kind: str, id: str, error: ErrorInfo | None) -> ErrorInfo | None:
    """An error with its message and traceback."""
    if error is None or not error.traceback.startswith(TEXT_MARK):
        return error
    text = keys.open(error.traceback.removeprefix(TEXT_MARK), kind, id, ERROR)
    found = msgspec.json.decode(text, type=Revealed)
    return replace(error, message=found.message, traceback=found.traceback)


def open_text(keys: Keys, kind: str, id: str, purpose: str, text: str) -> str:
    """A log line."""
    return keys.open(text.removeprefix(TEXT_MARK), kind, id, purpose) if text.startswith(TEXT_MARK) else text


def key_ids(job: Job) -> set[str]:
    """The keys with which a job's arguments and result are encrypted."""
    found: set[str] = set()
    for value in (job.args, *job.args.values(), job.result):
        if is_sealed(value):
            found.add(read_token(value[MARK])[1])
    return found


def blot(text: str, words: Iterable[str]) -> str:
    """`text` without the words."""
    for word in words:
        if word in text:
            text = text.replace(word, STARS)
    return text


def discreet(claim: Claim) -> Claim:
    """An opened claim that travelled to a child process, again with a `repr` that tells nothing."""
    return _opened(claim, claim.args)


def _opened(claim: Claim, args: str) -> Claim:
    facts: dict[str, Any] = {name: getattr(claim, name) for name in claim.__struct_fields__}
    facts["args"] = args
    return OpenClaim(**facts)


def opened_job(job: Job, **changes: Any) -> Job:
    """A job with what was decrypted of it."""
    facts: dict[str, Any] = {name: getattr(job, name) for name in job.__struct_fields__}
    return OpenJob(**(facts | changes))


def shown_job(job: Job) -> Job:
    """A job as readers see it; the same object if nothing of it is sealed."""
    hidden = job.error is not None and job.error.traceback.startswith(TEXT_MARK)
    trail = any(each.error is not None and each.error.traceback.startswith(TEXT_MARK) for each in job.attempts)
    if not (hidden or trail or is_sealed(job.result) or any_sealed(job.args)):
        return job
    attempts = tuple(replace(each, error=shown_error(each.error)) for each in job.attempts)
    error = shown_error(job.error)
    return replace(job, args=shown_args(job.args), result=shown(job.result), error=error, attempts=attempts)


def shown_error(error: ErrorInfo | None) -> ErrorInfo | None:
    return None if error is None else replace(error, traceback=shown_text(error.traceback))


def _member(token: str) -> str:
    return f'{{"{MARK}":"{token}"}}'


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
