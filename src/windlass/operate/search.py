"""The filter language of lists and bulk acts: `state:failed kind:send_* user:42 error:Timeout age:>1h` as a `Search`.

Terms stand side by side and must all match. `a,b` means either; a leading `-` turns a term round; `"..."` keeps blanks and
commas; `>`, `>=`, `<`, `<=` compare numbers, ages and times; a word without a field is looked for in names and errors. What the
store can select goes into a `Where`, the rest into tests that are made on each job.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, TypeAlias, cast

import msgspec
from msgspec.structs import replace

from windlass.declare.suggest import did_you_mean
from windlass.errors import InvalidOption
from windlass.store.protocol import Store
from windlass.values.clock import Micros, instant, micros, moment
from windlass.values.failure import is_text
from windlass.values.job import Job
from windlass.values.query import Page, Where
from windlass.values.states import State

LONGEST = 2_000
MOST_TERMS = 50
_PAGE, _MOST_PAGES = 250, 10

Test: TypeAlias = Callable[[Job], bool]

_TERM = re.compile(r'\s*(?P<no>-)?(?:(?P<field>[A-Za-z_][\w.\-]*):)?(?P<value>(?:"(?:[^"\\]|\\.)*"|[^\s"])+)')
_EMPTY = re.compile(r"[A-Za-z_][\w.\-]*:")
_PART = re.compile(r'"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<comma>,)|(?P<plain>[^",]+)')
_COMPARED = re.compile(r"(?P<sign>>=|<=|>|<)(?P<rest>.+)", re.DOTALL)
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d|w))+")


class Search(NamedTuple):
    """What the store selects, and what is tested on each job it gives."""

    where: Where
    tests: tuple[Test, ...] = ()

    def matches(self, job: Job) -> bool:
        """Whether a job that `where` selected passes the tests."""
        return all(test(job) for test in self.tests)


class _Term(NamedTuple):
    field: str
    values: tuple[str, ...]
    negated: bool
    text: str


def read_search(text: str, now: Micros, where: Where | None = None) -> Search:
    """The search that `text` describes, narrowing `where`; ages count back from `now`. Raises `InvalidOption` (field `q`)."""
    if len(text) > LONGEST or not is_text(text) or "\x00" in text:
        raise _bad(text, f"Unicode text of at most {LONGEST} characters", "shorten it")
    found, tests = where or Where(), list[Test]()
    for term in _terms(text):
        narrowed = None if term.negated else _narrow(found, term, now)
        if narrowed is None:
            test = _test(term, now)
            tests.append((lambda job, test=test: not test(job)) if term.negated else test)
        else:
            found = narrowed
    return Search(found, tuple(tests))


async def scan(store: Store, search: Search, cursor: str | None, limit: int) -> Page[Job]:
    """Matching jobs, newest first. With tests, a page looks at a bounded number of jobs: it may be short or empty, and only
    `next is None` means the end."""
    if not search.tests:
        return await store.jobs(search.where, cursor, limit)
    at, _, behind = (cursor or "").partition("|")
    found: list[Job] = []
    for _ in range(_MOST_PAGES):
        page = await store.jobs(search.where, at or None, _PAGE)
        for job in page.items:
            if (not behind or job.id < behind) and search.matches(job):
                found.append(job)
                if len(found) == limit:
                    return Page(found, f"{at}|{job.id}")
        if page.next is None:
            return Page(found)
        at, behind = page.next, ""
    return Page(found, f"{at}|")


def _terms(text: str) -> list[_Term]:
    terms: list[_Term] = []
    at = 0
    while text[at:].strip():
        match = _TERM.match(text, at)
        if match is None:
            raise _bad(text[at:], "terms such as state:failed", "close the quotes")
        at = match.end()
        field = match["field"] or ""
        values = _values(match["value"])
        if not values or (not field and _EMPTY.fullmatch(match["value"])):
            raise _bad(match[0], "a value behind the colon", "write it as state:failed")
        terms.append(_Term(field, values, bool(match["no"]), match[0].strip()))
    if len(terms) > MOST_TERMS:
        raise _bad(text, f"at most {MOST_TERMS} terms", "leave some out")
    return terms


def _values(text: str) -> tuple[str, ...]:
    values = [""]
    for part in _PART.finditer(text):
        if part["comma"]:
            values.append("")
        elif part["plain"] is not None:
            values[-1] += part["plain"]
        else:
            values[-1] += re.sub(r"\\(.)", r"\1", part["quoted"])
    return tuple(value for value in values if value)


# what the store can select


def _narrow(where: Where, term: _Term, now: Micros) -> Where | None:
    """`where` with the term in it; None if the store cannot know it, or has the field already."""
    field, values = term.field, term.values
    if field in _LISTS:
        name = _LISTS[field]
        if getattr(where, name):
            return None
        return replace(where, **{name: _states(term) if field == "state" else values}) if _selects(term) else None
    if field in _SINGLE and len(values) == 1 and getattr(where, field) is None:
        return replace(where, **{field: values[0]})
    if field in ("age", "created", "finished"):
        return _narrow_time(where, term, now)
    return None


def _selects(term: _Term) -> bool:
    """Stores know `kind:send_*`, but no other pattern."""
    return not any("*" in value[:-1] or (value.endswith("*") and term.field != "kind") for value in term.values)


def _narrow_time(where: Where, term: _Term, now: Micros) -> Where | None:
    sign, at = _bound(term, now)
    begin, end = ("finished_from", "finished_to") if term.field == "finished" else ("created_from", "created_to")
    name = begin if sign[0] == ">" else end
    if getattr(where, name) is not None:
        return None
    return replace(where, **{name: at + 1 if sign in (">", "<=") else at})


def _bound(term: _Term, now: Micros) -> tuple[str, Micros]:
    """The comparison with an instant that the term means; an age above an hour is a creation before an hour ago."""
    compared = _COMPARED.fullmatch(term.values[0]) if len(term.values) == 1 else None
    if compared is None:
        raise _bad(term.text, f"a comparison such as {term.field}:>1h", "put > or < before the value")
    sign, rest = compared["sign"], compared["rest"]
    if _DURATION.fullmatch(rest):
        turned = {">": "<", "<": ">", ">=": "<=", "<=": ">="}
        return turned[sign], now - micros(rest, "q")
    if term.field == "age":
        raise _bad(term.text, "a duration such as age:>1h", "use ms, s, m, h, d or w")
    try:
        at = datetime.fromisoformat(rest)
        return sign, instant(at if at.tzinfo else at.replace(tzinfo=UTC), "q")
    except (ValueError, OverflowError):
        raise _bad(term.text, "a duration or a time such as 2030-01-31T06:00Z", "correct it") from None


def _states(term: _Term) -> tuple[State, ...]:
    try:
        return tuple(State(value) for value in term.values)
    except ValueError:
        wrong = next(value for value in term.values if value not in list(State))
        raise _bad(term.text, f"one of {', '.join(State)}", f"correct {wrong!r}{did_you_mean(wrong, State)}") from None


# what is tested on each job


def _test(term: _Term, now: Micros) -> Test:
    field = term.field
    if not field:
        return lambda job: any(_holds(_words(job), value) for value in term.values)
    if field in ("age", "created", "finished"):
        return _time_test(term, now)
    if field == "state":
        states = _states(term)
        return lambda job: job.state in states
    if field in _NUMBERS:
        return _number_test(term)
    if field == "error":
        return lambda job: any(_holds(_errors(job), value) for value in term.values)
    if field == "tag":
        return lambda job: any(_like(tag, value) for tag in job.tags for value in term.values)
    if field.split(".")[0] in ("args", "result"):
        root, *path = field.split(".")
        return lambda job: _equals(_dig(getattr(job, root), path), term.values)
    if field in _TEXTS:
        return lambda job: any(_like(str(getattr(job, field) or ""), value) for value in term.values)
    known = (*_LISTS, *_SINGLE, *_TEXTS, *_NUMBERS, "age", "created", "finished", "error", "args", "result")
    raise _bad(term.text, "a field of jobs", f"there is no {field!r}{did_you_mean(field, known)}")


def _time_test(term: _Term, now: Micros) -> Test:
    sign, at = _bound(term, now)
    name = "finished_at" if term.field == "finished" else "created_at"
    when = moment(at)

    def test(job: Job) -> bool:
        value: datetime | None = getattr(job, name)
        return value is not None and _SIGNS[sign](value, when)

    return test


def _number_test(term: _Term) -> Test:
    checks: list[tuple[str, float]] = []
    for value in term.values:
        compared = _COMPARED.fullmatch(value)
        sign, rest = (compared["sign"], compared["rest"]) if compared else ("=", value)
        try:
            checks.append((sign, float(rest)))
        except ValueError:
            raise _bad(term.text, f"a number such as {term.field}:>3", "correct it") from None
    return lambda job: any(_SIGNS[sign](float(getattr(job, term.field)), number) for sign, number in checks)


def _words(job: Job) -> str:
    return " ".join((job.id, job.kind, job.queue, job.name or "", job.user or "", *job.tags, _errors(job)))


def _errors(job: Job) -> str:
    error = f"{job.error.type}: {job.error.message} {job.error.fingerprint}" if job.error else ""
    return f"{error} {job.reason or ''}"


def _holds(text: str, value: str) -> bool:
    return value.casefold() in text.casefold()


def _like(text: str, pattern: str) -> bool:
    return fnmatchcase(text, re.sub(r"([\[?])", r"[\1]", pattern)) if "*" in pattern else text == pattern


def _dig(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        if isinstance(value, Mapping):
            value = cast("Mapping[str, Any]", value).get(name, msgspec.UNSET)
        elif isinstance(value, list) and name.isdecimal() and len(name) < 9:
            items = cast("list[Any]", value)
            value = items[int(name)] if int(name) < len(items) else msgspec.UNSET
        else:
            return msgspec.UNSET
    return value


def _equals(value: Any, wanted: Sequence[str]) -> bool:
    if value is msgspec.UNSET:
        return False
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return any(_like(text, each) for each in wanted)


def _bad(text: str, limit: str, mend: str) -> InvalidOption:
    shown = repr(text)[:100]
    return InvalidOption(f"filter: {shown}; it must be {limit}: {mend}", field="q", value=shown, limit=limit, mend=mend)


_LISTS: Mapping[str, str] = {"id": "ids", "state": "states", "queue": "queues", "kind": "kinds", "tag": "tags"}
_SINGLE = ("user", "project", "group", "workflow", "unique")
_TEXTS = ("id", "kind", "queue", "name", "worker", "reason", "runtime", *_SINGLE)
_NUMBERS = ("priority", "attempt", "max_attempts", "rescues", "progress")
_SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "=": lambda a, b: a == b,
}
