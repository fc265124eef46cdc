"""Schedules as people look at them."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from windlass.cli.act import actor
from windlass.cli.listing import as_json, job_row
from windlass.cli.options import Chosen, Form
from windlass.cli.show import ago, emit_facts, emit_json, emit_lines, emit_table, note
from windlass.cli.target import Target, on_app
from windlass.schedules.timing import make_rule
from windlass.schedules.view import Schedule, Schedules
from windlass.values.clock import instant
from windlass.values.job import Job, NewJob
from windlass.values.schedule import Occurrence
from windlass.values.schedule import preview as preview_rule

T = TypeVar("T")

_NOTES = {"gap": "the clock skips it: the first minute after the gap", "fold": "the clock shows this time twice"}
_SHOWN = 3


class Detail(NamedTuple):
    """A schedule, its newest jobs, its next times."""

    schedule: Schedule
    jobs: list[Job]
    coming: list[Occurrence]


def with_schedules(target: Target, act: Callable[[Schedules], Awaitable[T]]) -> T:
    """Act on the schedules of the target's store."""
    return on_app(target, lambda app: act(app.schedules))


def emit_schedules(found: Sequence[Schedule], form: Form) -> None:
    """Print schedules in the form asked for."""
    if form is Form.JSON:
        emit_json({"items": found, "next": None})
    elif form is Form.IDS:
        emit_lines(each.key for each in found)
    elif not found:
        note(f"no schedules in {Chosen.store}; workers write those of their app when they start")
    else:
        emit_table(
            ["key", "when", "zone", "kind", "next", "last", "fired"],
            [
                [each.key, each.when, each.timezone, each.kind, _next(each), ago(each.last_at), str(each.fired)]
                for each in found
            ],
            right=("fired",),
        )


async def gather(schedules: Schedules, key: str, limit: int) -> Detail:
    """What `show` shows."""
    found = await schedules.get(key)
    jobs = (await schedules.history(key, limit=min(limit, 1_000))).items
    coming = [] if found.when == "unreadable" else await schedules.preview(key, _SHOWN)
    return Detail(found, jobs, coming)


def emit_detail(detail: Detail, form: Form) -> None:
    """Print one schedule in full. JSON: the schedule with `jobs` and `coming`."""
    found = detail.schedule
    if form is Form.IDS:
        emit_lines(job.id for job in detail.jobs)
        return
    if form is Form.JSON:
        import msgspec

        emit_json({**msgspec.structs.asdict(found), "jobs": detail.jobs, "coming": detail.coming})
        return
    emit_facts(
        [
            ("key", found.key),
            ("when", f"{found.when} ({found.timezone})"),
            ("next", _next(found)),
            ("then", "\n".join(f"{each.at:%Y-%m-%d %H:%M:%S %z}" + _marked(each, ", ") for each in detail.coming)),
            ("kind", found.kind),
            ("queue", found.queue),
            ("args", as_json(found.args)),
            ("overlap", found.overlap),
            ("missed", found.missed),
            ("jitter", f"up to {found.jitter:g}s" if found.jitter else ""),
            ("declared", f"by {found.owner}" if found.owner else "at run time"),
            ("fired", f"{found.fired:,} times"),
            ("last", f"{found.last_at:%Y-%m-%d %H:%M:%S} UTC ({ago(found.last_at)})" if found.last_at else ""),
        ]
    )
    if detail.jobs:
        print()
        rows = [job_row(job) for job in detail.jobs]
        emit_table(list(rows[0]), [list(row.values()) for row in rows])


async def set_paused(schedules: Schedules, keys: Sequence[str], *, paused: bool) -> list[Schedule]:
    """Pause or resume schedules; all must be there, else nothing happens."""
    for key in keys:
        await schedules.get(key)
    change = schedules.pause if paused else schedules.resume
    return [await change(key, actor=actor()) for key in keys]


def emit_paused(found: Sequence[Schedule], form: Form) -> None:
    """Print what became of them."""
    if form is Form.TABLE:
        for each in found:
            print(f"{each.key} is paused" if each.paused else f"{each.key} fires {_next(each)}")
    else:
        emit_schedules(found, form)


def try_out(cron: str, timezone: str, count: int) -> list[Occurrence]:
    """The next times of an expression, from this machine's now."""
    rule = make_rule(NewJob(id="", kind="preview"), {"cron": cron, "timezone": timezone})
    return preview_rule(rule, instant(datetime.now(UTC)), count)


def emit_preview(found: Sequence[Occurrence], form: Form) -> None:
    """Print due times."""
    if form is Form.JSON:
        emit_json({"items": found, "next": None})
    elif form is Form.IDS:
        emit_lines(each.at.isoformat() for each in found)
    elif not found:
        note("it never fires again")
    else:
        emit_table(
            ["time there", "utc", "in", "remark"],
            [
                [
                    f"{each.at:%a %Y-%m-%d %H:%M:%S %z}",
                    f"{each.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
                    ago(each.at).removeprefix("in "),
                    _marked(each, ""),
                ]
                for each in found
            ],
        )


async def remove(schedules: Schedules, keys: Sequence[str]) -> list[str]:
    """Remove schedules; all must be there, else nothing happens."""
    for key in keys:
        await schedules.get(key)
    return [key for key in keys if await schedules.remove(key, actor=actor())]


def emit_removed(keys: Sequence[str], form: Form) -> None:
    """Print which were removed."""
    if form is Form.JSON:
        emit_json({"removed": keys})
    else:
        emit_lines(keys if form is Form.IDS else [f"{key} removed" for key in keys])


def _next(schedule: Schedule) -> str:
    if schedule.paused:
        return "paused"
    if schedule.next_at is None:
        return "never again"
    when = ago(schedule.next_at)
    return when if when.startswith("in ") else f"overdue {when}"


def _marked(each: Occurrence, before: str) -> str:
    return before + f"{each.mark}: {_NOTES[each.mark]}" if each.mark else ""
