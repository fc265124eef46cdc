"""Filters and ids as the command line gives them, made into a `Where`."""

import sys
from collections.abc import Sequence
from difflib import get_close_matches

from windlass.errors import InvalidOption
from windlass.values.query import Where
from windlass.values.states import State


def where(
    *,
    state: Sequence[str] | None = None,
    queue: Sequence[str] | None = None,
    kind: Sequence[str] | None = None,
    user: str | None = None,
    tag: Sequence[str] | None = None,
) -> Where:
    """The filter of the shared options; lists may be given twice or with commas. An empty value is refused: a shell's
    variable that is not set must not widen the filter to every job."""
    if user is not None and not user.strip():
        raise _empty("user")
    return Where(
        states=tuple(_state(name) for name in _some("state", state)),
        queues=_some("queue", queue),
        kinds=_some("kind", kind),
        user=user,
        tags=_some("tag", tag),
    )


def _some(option: str, given: Sequence[str] | None) -> tuple[str, ...]:
    found = words(given)
    if given and not found:
        raise _empty(option)
    return found


def _empty(option: str) -> InvalidOption:
    return InvalidOption(f"--{option} is empty", field=option, value="", mend=f"name a {option}, or leave it out")


def words(given: Sequence[str] | None) -> tuple[str, ...]:
    """`["a,b", "c"]` as `("a", "b", "c")`."""
    return tuple(part.strip() for text in given or () for part in text.split(",") if part.strip())


def read_ids(given: Sequence[str] | None) -> tuple[str, ...]:
    """The ids named; `-` stands for those on stdin, separated by blanks or lines. Each once, in order."""
    ids: list[str] = []
    for text in given or ():
        ids.extend(sys.stdin.read().split() if text == "-" else [text])
    return tuple(dict.fromkeys(ids))


def _state(name: str) -> State:
    try:
        return State(name)
    except ValueError:
        near = get_close_matches(name, list(State), 1)
        raise InvalidOption(
            f"there is no state {name!r}",
            field="state",
            value=name,
            limit=list(State),
            mend=f"did you mean {near[0]}?" if near else f"use {', '.join(State)}",
        ) from None
