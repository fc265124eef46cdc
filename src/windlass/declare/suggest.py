"""'Did you mean ...?' for names that nobody knows."""

from collections.abc import Iterable
from difflib import get_close_matches


def similar(name: str, known: Iterable[str], cutoff: float = 0.6) -> list[str]:
    """Up to three known names that look like `name`, the likeliest first."""
    return get_close_matches(name, list(known), n=3, cutoff=cutoff)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'add'?` or nothing, for the end of a message."""
    found = similar(name, known)
    return f"; did you mean {' or '.join(map(repr, found))}?" if found else ""
