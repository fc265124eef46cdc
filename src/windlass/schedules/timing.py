"""What users write about a schedule, read and checked: when it is due, and its policies."""

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any, TypedDict, cast

from msgspec.structs import replace

from windlass.declare.options import read_name
from windlass.declare.suggest import did_you_mean
from windlass.errors import InvalidOption
from windlass.values.clock import Duration, Micros, job_time, micros
from windlass.values.job import NewJob
from windlass.values.schedule import CATCH_UP, MISSED, OVERLAPS, Missed, Overlap, Rule

RESERVED = "windlass."
"""Keys that begin so belong to the built-in maintenance."""

LONGEST_KEY = 180
MOST_CATCH_UP = 10_000
_SHORTEST = 0.1


class PolicyOptions(TypedDict, total=False):
    """When, in which zone, and what to do about overlapping and missed runs. `every` or `at`, unless there is a `cron`."""

    every: Duration
    at: datetime
    start: datetime
    timezone: str | tzinfo
    overlap: Overlap
    missed: Missed
    catch_up: int
    jitter: Duration


class ScheduleOptions(PolicyOptions, total=False):
    """The same with `cron`."""

    cron: str


def read_key(key: object) -> str:
    """A schedule's key, if users may have it."""
    name = read_name(key, "key")
    if name.startswith(RESERVED) or len(name) > LONGEST_KEY:
        raise _bad("key", name, f"1..{LONGEST_KEY} characters that do not begin with {RESERVED!r}", "name it otherwise")
    return name


def make_rule(job: NewJob[Any], given: Mapping[str, Any]) -> Rule:
    """The rule that makes `job` as the options say; raises `InvalidOption`, `ScheduleError`."""
    for name in given:
        if name not in ScheduleOptions.__annotations__:
            hint = did_you_mean(name, ScheduleOptions.__annotations__)
            raise InvalidOption(f"unknown option {name!r} of a schedule{hint}", field=name, mend="correct its name")
    given = {name: value for name, value in given.items() if value is not None}
    overlap = _read_choice(given, "overlap", OVERLAPS)
    missed = _read_choice(given, "missed", MISSED)
    if missed == "run_all" and overlap != "queue":
        raise _bad(
            "missed", missed, "used with overlap='queue'", "missed runs are made at once and wait for each other"
        )
    return Rule(
        job=_repeatable(job),
        **_read_when(given),
        timezone=_read_zone(given.get("timezone", "UTC")),
        overlap=cast(Overlap, overlap),
        missed=cast(Missed, missed),
        catch_up=_read_count(given.get("catch_up", CATCH_UP)),
        jitter=micros(given.get("jitter", 0), "jitter"),
    )


def _read_when(given: Mapping[str, Any]) -> dict[str, Any]:
    from windlass.values.cron import read_cron  # loads cronsim, which most programs do without

    named = [name for name in ("cron", "every", "at") if name in given]
    if len(named) != 1:
        raise _bad("schedule", ", ".join(named) or None, "exactly one of cron=, every=, at=", "say when it is due")
    if "start" in given and "every" not in given:
        raise _bad("start", given["start"], "used with every=", "leave it out")
    if "cron" in given:
        if not isinstance(given["cron"], str):
            raise _bad("cron", given["cron"], "text", "write it as '0 6 * * *'")
        return {"cron": read_cron(given["cron"])}
    if "at" in given:
        return {"at": job_time(given["at"], "at")}
    start: Micros | None = job_time(given["start"], "start") if "start" in given else None
    return {"every": micros(given["every"], "every", minimum=_SHORTEST), "start": start}


def _repeatable(job: object) -> NewJob[Any]:
    """A job that may be made again and again: without an id, parents and instants of its own."""
    if not isinstance(job, NewJob):
        raise _bad("job", job, "a job", "make it with handler.job(...)")
    once = cast("NewJob[Any]", job)
    for name, value in (("after", once.after), ("run_at", once.run_at), ("expires", once.expires_at)):
        if value:
            raise _bad(name, value, "left out of a scheduled job, or a duration", "each run has its own time")
    return replace(once, id="")


def _read_zone(zone: object) -> str:
    from windlass.values.cron import read_zone

    if isinstance(zone, tzinfo):
        zone = getattr(zone, "key", str(zone))
    if not isinstance(zone, str):
        raise _bad("timezone", zone, "an IANA name or a ZoneInfo", "use 'Europe/Berlin'")
    read_zone(zone)
    return zone


def _read_choice(given: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> str:
    value = given.get(name, choices[0])
    if value in choices:
        return value
    raise _bad(name, value, "|".join(choices), f"use {choices[0]!r}")


def _read_count(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_CATCH_UP:
        return value
    raise _bad("catch_up", value, f"1..{MOST_CATCH_UP}", "use a whole number in that range")


def _bad(field: str, value: object, limit: str, mend: str) -> InvalidOption:
    shown = repr(value)[:100]
    return InvalidOption(
        f"{field} is {shown}; it must be {limit}: {mend}", field=field, value=shown, limit=limit, mend=mend
    )
