"""How long a queue's jobs that ended stay, as code declares it: `app.queue("email", keep=Keep(completed="1h"))`."""

from typing import Any, Literal, TypeAlias

import msgspec

from windlass.declare.refusal import refusal
from windlass.values.clock import Duration, micros
from windlass.values.query import Keep as Kept

Age: TypeAlias = Duration | Literal["forever"]
_MOST = 10_000_000


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """`completed`, `failed`, `cancelled`: how long, or "forever"; None goes by the app's settings. `keep_completed`,
    `keep_failed`: at most so many, whatever their age. A job goes when either bound is exceeded."""

    completed: Age | None = None
    failed: Age | None = None
    cancelled: Age | None = None
    keep_completed: int | None = None
    keep_failed: int | None = None


KEEPS = "queue-keep"
"""The space of the records that say what code declares of a queue's retention, so that every worker prunes by it."""

_AGES = ("completed", "failed", "cancelled")
_COUNTS = ("keep_completed", "keep_failed")


def read_keep(value: Any) -> Keep:
    """The checked option `keep`; raises `InvalidOption`."""
    if not isinstance(value, Keep):
        raise refusal("keep", value, "a Keep", 'use keep=Keep(completed="1h", keep_completed=10)')
    _said(value)
    return value


def keep_text(keep: Keep) -> str:
    """What is said of a queue, as a record keeps it."""
    return msgspec.json.encode(_said(keep)).decode()


def kept(text: str, usual: Kept) -> Kept:
    """The retention of a queue by its record; what it does not say is as usual."""
    said = msgspec.json.decode(text, type=dict[str, int | None])
    own = {name: said.get(name, getattr(usual, name)) for name in (*_AGES, *_COUNTS)}
    return Kept(**own)


def _said(keep: Keep) -> dict[str, int | None]:
    said: dict[str, int | None] = {}
    for name in _AGES:
        age = getattr(keep, name)
        if age is not None:
            said[name] = None if age == "forever" else micros(age, f"keep.{name}")
    for name in _COUNTS:
        count = getattr(keep, name)
        if count is not None:
            said[name] = _count(count, f"keep.{name}")
    return said


def _count(value: Any, field: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST:
        return value
    raise refusal(field, value, f"0..{_MOST}", "use a whole number in that range")
