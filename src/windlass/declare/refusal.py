"""The error for an option that is out of range: always which one, what was given, what is allowed, and how to mend it."""

from windlass.errors import InvalidOption

_LONGEST = 100


def refusal(field: str, value: object, limit: str, mend: str) -> InvalidOption:
    """`InvalidOption` for `field`; raise it."""
    shown = repr(value)[:_LONGEST]
    return InvalidOption(
        f"{field} is {shown}; it must be {limit}: {mend}", field=field, value=shown, limit=limit, mend=mend
    )
