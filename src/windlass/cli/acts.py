"""What an operator's act was about, in words: `states failed, queues mail, 3 jobs` for the JSON that is on record."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

import msgspec

from windlass.cli.show import span
from windlass.values.clock import SECOND, moment

_SECONDS = frozenset({"cool_down", "repeat"})
_MICROS = frozenset({"shut_for", "ageing", "every", "jitter", "lease", "delay"})
_INSTANTS = frozenset({"due", "until", "opens_at", "expires_at", "before", "since"})


def described(detail: Mapping[str, Any]) -> str:
    """A detail as a list of facts; what is empty says nothing."""
    return ", ".join(_facts(detail))


def described_text(detail: str) -> str:
    """The same of a detail as it is stored."""
    return described(msgspec.json.decode(detail, type=dict[str, Any])) if detail else ""


def _facts(detail: Mapping[str, Any]) -> Iterator[str]:
    for name, value in detail.items():
        if value == [] or value == {} or value == "":
            continue
        if name == "where" and isinstance(value, dict):
            yield from _facts(cast("dict[str, Any]", value))
        elif name == "count":
            yield f"{value:,} job" + "s" * (value != 1)
        else:
            yield _fact(name, value)


def _fact(name: str, value: Any) -> str:
    label = name.replace("_", " ")
    if value is None or value is False:
        return f"{'no' if value is None else 'not'} {label}"
    return label if value is True else f"{label} {_value(name, value)}"


def _value(name: str, value: Any) -> str:
    if isinstance(value, dict):
        found = cast("dict[str, Any]", value)
        if name == "rate" and found.keys() >= {"n", "window"}:
            burst = f", bursts of {found['burst']}" if found.get("burst") else ""
            return f"{found['n']:,} in {span(found['window'] / SECOND)}{burst}"
        return f"({described(found)})"
    if isinstance(value, list):
        return "/".join(_value(name, each) for each in cast("list[Any]", value))
    if isinstance(value, (int, float)):
        return _number(name, value)
    return str(value)


def _number(name: str, value: float) -> str:
    if name in _INSTANTS and isinstance(value, int):
        return f"{moment(value):%Y-%m-%d %H:%M:%S} UTC"
    if name in _MICROS:
        return span(value / SECOND)
    if name in _SECONDS or (name == "window" and isinstance(value, float)):
        return span(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
