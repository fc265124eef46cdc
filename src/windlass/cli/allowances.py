"""Limits as people look at them, and acting on them through the app."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from windlass.cli.act import actor
from windlass.cli.acts import described_text
from windlass.cli.complaint import LimitNotFound
from windlass.cli.options import Chosen, Form
from windlass.cli.show import ago, emit_facts, emit_json, emit_lines, emit_table, note
from windlass.declare.suggest import did_you_mean
from windlass.flowcontrol.limits import KeyLimit
from windlass.values.query import AuditEntry, AuditQuery

if TYPE_CHECKING:
    from windlass.app import Windlass

_ACTS = 20


class Detail(NamedTuple):
    """A key and what was done to it."""

    limit: KeyLimit
    acts: list[AuditEntry]


async def gather(app: "Windlass", key: str) -> Detail:
    """What `show` shows; raises `LimitNotFound`."""
    found = await app.limits.get(key)
    if found is None:
        raise await _unknown(app, key)
    return Detail(found, await (await app.store()).audit(AuditQuery(target=f"limit:{key}", limit=_ACTS)))


async def put(
    app: "Windlass", key: str, *, rate: str | None, burst: int | None, concurrency: int | None, shut_for: str | None
) -> KeyLimit:
    """Set a key's limits."""
    return await app.limits.put(key, rate=rate, burst=burst, concurrency=concurrency, shut_for=shut_for, actor=actor())


async def clear(app: "Windlass", keys: Sequence[str]) -> list[str]:
    """Forget keys; all must be known, else nothing happens."""
    for key in keys:
        if await app.limits.get(key) is None:
            raise await _unknown(app, key)
    return [key for key in keys if await app.limits.clear(key, actor=actor())]


async def _unknown(app: "Windlass", key: str) -> LimitNotFound:
    known = [each.key for each in await app.limits.list()]
    mend = did_you_mean(key, known).removeprefix("; ") or "`windlass limits ls` lists them"
    return LimitNotFound(f"no limit is known of {key!r}", key=key, mend=mend)


def emit_limits(found: Sequence[KeyLimit], form: Form) -> None:
    """Print limits in the form asked for."""
    if form is Form.JSON:
        emit_json({"items": found, "next": None})
    elif form is Form.IDS:
        emit_lines(each.key for each in found)
    elif not found:
        note(f"no limits in {Chosen.store}")
    else:
        emit_table(
            ["key", "at once", "rate", "held", "used", "opens", "jobs wait", "set by"],
            [_row(each) for each in found],
            right=("at once", "held", "used"),
        )


def emit_detail(detail: Detail, form: Form) -> None:
    """Print one limit in full. JSON: the limit with `acts`."""
    found = detail.limit
    if form is Form.IDS:
        emit_lines([found.key])
        return
    if form is Form.JSON:
        import msgspec

        emit_json({**msgspec.structs.asdict(found), "acts": detail.acts})
        return
    emit_facts(
        [
            ("key", found.key),
            ("at once", "" if found.concurrency is None else f"{found.concurrency:,}"),
            (
                "rate",
                "" if found.rate is None else found.rate + (f", a bucket of {found.burst:,}" if found.burst else ""),
            ),
            ("running", f"{found.held:,}"),
            ("used", f"{found.used:,}" if found.rate else ""),
            ("shut", f"until {found.shut_until:%Y-%m-%d %H:%M:%S} UTC" if found.shut_until else ""),
            ("opens", f"{found.opens_at:%Y-%m-%d %H:%M:%S} UTC ({ago(found.opens_at)})" if found.opens_at else ""),
            ("jobs", "some wait because of it" if found.waiting else "none wait because of it"),
            ("set by", "an operator" if found.pinned else "code"),
        ]
    )
    if detail.acts:
        from windlass.values.clock import moment

        print()
        emit_table(
            ["when", "who", "what", "detail"],
            [[ago(moment(act.at)), act.actor, act.action, described_text(act.detail)] for act in detail.acts],
        )


def emit_cleared(keys: Sequence[str], form: Form) -> None:
    """Print which were forgotten."""
    if form is Form.JSON:
        emit_json({"cleared": keys})
    else:
        emit_lines(keys if form is Form.IDS else [f"{key} is as code declares it" for key in keys])


def _row(each: KeyLimit) -> list[str]:
    return [
        each.key,
        "" if each.concurrency is None else str(each.concurrency),
        (each.rate or "") + (f" burst {each.burst}" if each.burst else ""),
        str(each.held),
        str(each.used) if each.rate else "",
        ago(each.opens_at) if each.opens_at else "",
        "yes" if each.waiting else "no",
        "operator" if each.pinned else "code",
    ]
