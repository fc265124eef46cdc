"""A queue's own settings, and the change an operator makes to them."""

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from windlass.errors import InvalidOption
from windlass.values.clock import Micros

LONGEST_NAME = 200
HOUSE = "windlass"
"""The queue of the built-in jobs, of which there is one each minute: their ends leave no history."""
_NAME = re.compile(r"[A-Za-z0-9_.:@/+\-]+")


Order: TypeAlias = Literal["strict", "fair", "weighted", "ageing"]
ORDERS: tuple[Order, ...] = ("strict", "fair", "weighted", "ageing")
AGEING: Micros = 60_000_000
"""How long a job waits for what one point of priority is worth, unless its queue says otherwise."""
CLASS_WEIGHTS: Mapping[str, int] = {"low": 1, "normal": 5, "high": 10, "critical": 20}
"""The shares of the priority classes in a `weighted` queue."""


class QueueInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A queue that has been used or set up. `paused` stops claims, not enqueues; `paused_at` is the store's time.

    `order` says which waiting job is next. strict: priority, then age. fair: groups in turn, by weight (a job's `group`, else
    its `user`), inside a group strict. weighted: the four priority classes in turn by `CLASS_WEIGHTS`, inside a class strict.
    ageing: by age, a point of priority counting as `ageing` microseconds of waiting. Jobs that waited before a change of
    order stay one line of their own, which takes turns with the others as a group of weight 1.
    """

    name: str
    paused: bool = False
    paused_at: Micros | None = None
    order: Order = "strict"
    ageing: Micros = AGEING


class QueueChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to change; None leaves it."""

    paused: bool | None = None
    order: Order | None = None
    ageing: Micros | None = None


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
