"""A queue's own settings, and the change an operator makes to them."""

import re

import msgspec

from windlass.clock import Micros
from windlass.errors import InvalidOption

LONGEST_NAME = 200
_NAME = re.compile(r"[A-Za-z0-9_.:@/+\-]+")


class QueueInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A queue that has been used or set up. `paused` stops claims, not enqueues; `paused_at` is the store's time."""

    name: str
    paused: bool = False
    paused_at: Micros | None = None


class QueueChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to change; None leaves it."""

    paused: bool | None = None


def check_name(value: object, field: str) -> str:
    """A queue, kind, tag, user ... name: 1 to 200 characters of letters, digits and `_.:@/+-`; else `InvalidOption`."""
    if isinstance(value, str) and len(value) <= LONGEST_NAME and _NAME.fullmatch(value):
        return value
    raise InvalidOption(
        f"{field} is {repr(value)[:100]}; it must be 1 to {LONGEST_NAME} ASCII letters, digits or _ . : @ / + -",
        field=field,
        value=repr(value)[:100],
        limit=f"1..{LONGEST_NAME} characters",
        mend="shorten it or replace other characters",
    )
