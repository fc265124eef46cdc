"""An episode: a rule's alert about one group, from its firing to its end. What follows from each look is decided here. Pure."""

from typing import Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from windlass.alerts.findings import Finding
from windlass.alerts.rule import AlertRule
from windlass.values.clock import SECOND, Micros

SPACE = "alert-episode"
Event: TypeAlias = Literal["firing", "resolved", "still-firing"]


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """`number` counts the notices of a rule and group, so that each is told once; `at`: the instant of the last one.
    `untold`: that notice, until the jobs that tell it are stored. `silent`: it began again within the cool-down, and
    neither its beginning nor its end is told."""

    rule: str
    group: str
    firing: bool
    number: int
    since: Micros
    at: Micros
    untold: Event | None = None
    ended_at: Micros | None = None
    value: float = 0.0
    text: str = ""
    command: str = ""
    silent: bool = False


def look(rule: AlertRule, group: str, known: Episode | None, found: Finding | None, now: Micros) -> Episode | None:
    """The episode as it is after this look; None: as it was."""
    if found is None:
        if known is None or not known.firing:
            return None
        untold = None if known.silent else "resolved"
        return replace(known, firing=False, ended_at=now, at=now, number=known.number + 1, untold=untold)
    if known is None or not known.firing:
        return _begun(rule, group, known, found, now)
    fresh = replace(known, value=found.value, text=found.text, command=found.command)
    if rule.repeat is not None and not known.silent and now - known.at >= rule.repeat * SECOND:
        return replace(fresh, number=known.number + 1, at=now, untold="still-firing")
    return fresh if fresh.text != known.text else None


def _begun(rule: AlertRule, group: str, known: Episode | None, found: Finding, now: Micros) -> Episode:
    ended = known.ended_at if known is not None else None
    silent = ended is not None and now - ended < rule.cool_down * SECOND
    return Episode(
        rule=rule.name,
        group=group,
        firing=True,
        number=(known.number if known is not None else 0) + 1,
        since=now,
        at=now,
        untold=None if silent else "firing",
        value=found.value,
        text=found.text,
        command=found.command,
        silent=silent,
    )
