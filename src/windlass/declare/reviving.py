"""The option `dead_retries`: how long after their failure dead letters are tried again by themselves."""

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

from windlass.declare.refusal import refusal
from windlass.values.clock import Duration, Micros, micros

DeadRetries: TypeAlias = Sequence[Duration]
MOST_RETRIES = 20
_SHORTEST = 1.0


def read_dead_retries(value: Any) -> tuple[Micros, ...]:
    """The waits before the first, second, third automatic retry; empty for none. Raises `InvalidOption`."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise refusal("dead_retries", value, "a list of durations", 'use dead_retries=("15m", "1h", "6h")')
    waits = cast("Sequence[Any]", value)
    if len(waits) > MOST_RETRIES:
        raise refusal("dead_retries", len(waits), f"at most {MOST_RETRIES} waits", "use fewer")
    return tuple(micros(wait, "dead_retries", minimum=_SHORTEST) for wait in waits)
