"""`app.errors`: failures grouped by what they have in common: how many of each, since when, and what to do about them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import msgspec

from windlass.declare.refusal import refusal
from windlass.errors import ErrorGroupNotFound
from windlass.operate.audit import note_act
from windlass.operate.dead_letters import DeadLetters
from windlass.operate.facts import Facts, facts_of, read_facts
from windlass.operate.letters import may_help
from windlass.operate.views import Acted
from windlass.produce.ref import JobRef
from windlass.store.protocol import Store
from windlass.values.clock import SECOND, Micros, moment
from windlass.values.failure import is_text, safe_text
from windlass.values.job import ErrorInfo
from windlass.values.metrics import MetricQuery
from windlass.values.query import ErrorGroup, Swap

if TYPE_CHECKING:
    from windlass.settings import Settings

MARKS = "error-marks"
"""The space of records that say which groups are resolved or ignored; the key is the fingerprint."""
TALLY = "error:"

_HOUR: Micros = 3_600 * SECOND
_HOURS = 24
_MOST_LISTED = 1_000
_LONGEST_ACTOR = 200
_KEPT: Micros = 400 * 24 * _HOUR

Mark: TypeAlias = Literal["open", "resolved", "ignored"]
NO_ERROR = "none"
"""How the group of dead letters without an error is named outside, where its fingerprint, the empty text, would be lost."""


class _Mark(msgspec.Struct, frozen=True):
    mark: Literal["resolved", "ignored"]
    at: Micros
    actor: str
    version: str | None = None


class ErrorFacts(msgspec.Struct, frozen=True, kw_only=True):
    """An error group. `letters`: dead letters of it, that failed from `first` to `last`; `sample`: the id of one of the newest.
    `attempts`, `failures`: attempts of the last 24 hours that failed, and jobs that failed for good; `trend`: both by hour, the
    running one last. `message`: `#` stands for what varies. `version`: of the app whose worker met it first, at `first_seen`;
    `is_new`: that is the version of this app. `mark`: `resolved` (it comes back as `open` when it happens again), `ignored`."""

    fingerprint: str
    type: str
    message: str
    category: str
    can_retry: bool
    letters: int
    attempts: int
    failures: int
    trend: tuple[int, ...]
    first: datetime | None
    last: datetime | None
    sample: str | None
    first_seen: datetime | None
    version: str | None
    is_new: bool
    kinds: tuple[str, ...]
    queues: tuple[str, ...]
    mark: Mark
    marked_by: str | None
    trace: str


class App(Protocol):
    """What this asks of the app."""

    settings: "Settings"
    dead_letters: DeadLetters

    async def store(self) -> Store: ...


class Errors:
    """Look at error groups and act on them."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def list(self, *, mark: Mark | None = None, new: bool | None = None, limit: int = 100) -> "list[ErrorFacts]":
        """The groups that have dead letters, or errors in the last 24 hours, those with most letters first. `new`: only those
        which this app's version met first."""
        if not 1 <= limit <= _MOST_LISTED:
            raise refusal("limit", limit, f"1..{_MOST_LISTED}", "ask for fewer")
        store = await self._app.store()
        groups = {group.fingerprint: group for group in await store.error_groups(_MOST_LISTED)}
        counted = await _counted(store, await store.now(), "*")
        found = await self._made(store, [*groups, *(name for name in counted if name not in groups)], groups, counted)
        chosen = [each for each in found if mark in (None, each.mark) and new in (None, each.is_new)]
        return sorted(chosen, key=lambda each: (-each.letters, -each.attempts, each.fingerprint))[:limit]

    async def get(self, fingerprint: str) -> ErrorFacts:
        """One group; raises `ErrorGroupNotFound`."""
        name = read_fingerprint(fingerprint)
        store = await self._app.store()
        groups = {
            group.fingerprint: group for group in await store.error_groups(_MOST_LISTED) if group.fingerprint == name
        }
        counted = await _counted(store, await store.now(), name) if name else {}
        (found,) = await self._made(store, [name], groups, counted)
        if not found.letters and not found.attempts and found.first_seen is None:
            raise ErrorGroupNotFound(
                f"there is no error group {fingerprint!r}",
                fingerprint=fingerprint,
                mend="`windlass errors ls` lists them",
            )
        return found

    async def retry(self, fingerprint: str, *, limit: int = 10_000, actor: str = "app") -> Acted:
        """Run up to `limit` of a group's dead letters again; for more there is `replay`."""
        name = read_fingerprint(fingerprint)
        return await self._app.dead_letters.requeue(fingerprint=name, limit=limit, actor=actor)

    async def replay(self, fingerprint: str, *, per_second: float | None = None, actor: str = "app") -> JobRef[None]:
        """Run all of a group's dead letters again, by a job that workers carry out: see `app.dead_letters.replay`."""
        name = read_fingerprint(fingerprint)
        return await self._app.dead_letters.replay(fingerprint=name, per_second=per_second, actor=actor)

    async def resolve(self, fingerprint: str, *, actor: str = "app") -> ErrorFacts:
        """Say that its cause is mended. It is open again when it happens again."""
        return await self._mark(fingerprint, "resolved", actor)

    async def ignore(self, fingerprint: str, *, actor: str = "app") -> ErrorFacts:
        """Say that nobody minds it. It stays so until it is reopened."""
        return await self._mark(fingerprint, "ignored", actor)

    async def reopen(self, fingerprint: str, *, actor: str = "app") -> ErrorFacts:
        """Take back that it is resolved or ignored."""
        return await self._mark(fingerprint, None, actor)

    async def _mark(self, fingerprint: str, mark: Literal["resolved", "ignored"] | None, actor: str) -> ErrorFacts:
        found = await self.get(fingerprint)
        store, actor = await self._app.store(), safe_text(actor, _LONGEST_ACTOR)
        now = await store.now()
        text = None
        if mark is not None:
            text = msgspec.json.encode(_Mark(mark, now, actor, self._app.settings.app_version)).decode()
        await store.exchange([Swap(space=MARKS, key=found.fingerprint or NO_ERROR, text=text, ttl=_KEPT)])
        action = {"resolved": "resolve", "ignored": "ignore", None: "reopen"}[mark]
        await note_act(store, actor, action, f"error:{found.fingerprint or NO_ERROR}")
        return await self.get(fingerprint)

    async def _made(
        self,
        store: Store,
        names: Sequence[str],
        groups: Mapping[str, ErrorGroup],
        counted: "Mapping[str, _Counted]",
    ) -> "list[ErrorFacts]":
        known = await read_facts(store, [name for name in names if name])
        records = await store.records(MARKS)
        marks = {record.key: msgspec.json.decode(record.text, type=_Mark) for record in records if record.text}
        made: list[ErrorFacts] = []
        for name in names:
            group, count = groups.get(name), counted.get(name, _NONE)
            facts = known.get(name) or await _facts_by_sample(store, group)
            mark = marks.get(name or NO_ERROR)
            if mark is not None and mark.mark == "resolved" and _came_back(mark.at, group, count):
                mark = None
            made.append(_view(name, group, count, facts, mark, self._app.settings.app_version, name in known))
        return made


class _Counted(msgspec.Struct):
    """Errors of the last day: attempts by hour, jobs that failed for good, and the last minute in which there was any."""

    trend: list[int]
    attempts: int = 0
    failures: int = 0
    last: Micros = 0


_NONE = _Counted([0] * _HOURS)


async def _counted(store: Store, now: Micros, name: str) -> dict[str, _Counted]:
    """Counts of the last 24 hours, by fingerprint."""
    since = now // _HOUR * _HOUR - (_HOURS - 1) * _HOUR
    points = await store.metrics(MetricQuery(since=max(since, 0), until=now + 60 * SECOND, names=(TALLY + name,)))
    found: dict[str, _Counted] = {}
    for point in points:
        each = found.setdefault(point.name.removeprefix(TALLY), _Counted([0] * _HOURS))
        each.attempts += point.value
        each.failures += point.value if point.bucket else 0
        each.trend[min(max((point.minute - since) // _HOUR, 0), _HOURS - 1)] += point.value
        each.last = max(each.last, point.minute)
    return found


async def _facts_by_sample(store: Store, group: ErrorGroup | None) -> Facts | None:
    """The facts of a group that nobody has written down: it failed before, or was moved here."""
    job = None if group is None or not group.fingerprint else await store.job(group.sample)
    if group is None or job is None or job.error is None:
        return None
    return facts_of(job.error, group.first, None).met(job.kind, job.queue)


def _came_back(at: Micros, group: ErrorGroup | None, count: _Counted) -> bool:
    return (group is not None and group.last > at) or count.last > at


def _view(
    name: str,
    group: ErrorGroup | None,
    count: _Counted,
    facts: Facts | None,
    mark: _Mark | None,
    version: str | None,
    remembered: bool,
) -> ErrorFacts:
    first = None if group is None else moment(group.first)
    error = ErrorInfo(type=facts.type, message="", category=facts.category) if facts else None
    return ErrorFacts(
        fingerprint=name,
        type=facts.type if facts else "",
        message=facts.message if facts else ("ended by command or by a parent's end" if not name else ""),
        category=facts.category if facts else "",
        can_retry=may_help(error),
        letters=group.n if group else 0,
        attempts=count.attempts,
        failures=count.failures,
        trend=tuple(count.trend),
        first=first,
        last=None if group is None else moment(group.last),
        sample=None if group is None else group.sample,
        first_seen=moment(facts.first_seen) if facts else first,
        version=facts.version if facts else None,
        is_new=bool(remembered and facts and version is not None and facts.version == version),
        kinds=facts.kinds if facts else (),
        queues=facts.queues if facts else (),
        mark=mark.mark if mark else "open",
        marked_by=mark.actor if mark else None,
        trace=facts.trace if facts else "",
    )


def read_fingerprint(text: str) -> str:
    """A fingerprint as people and addresses name it."""
    if not isinstance(text, str) or not is_text(text) or len(text) > 64:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ErrorGroupNotFound(f"there is no error group {text!r}"[:200], fingerprint=repr(text)[:100])
    return "" if text == NO_ERROR else text


__all__ = ["ErrorFacts", "Errors", "Mark"]
