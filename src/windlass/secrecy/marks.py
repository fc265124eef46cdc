"""`Secret[...]` among the annotations of a handler, and the mark of what is sealed, which readers see as `[encrypted]`."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Final, TypeAlias, TypeVar, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


class Hidden:
    """The annotation's note. It has no state: handlers get the plain value."""

    def __repr__(self) -> str:
        return "Secret"


HIDDEN: Final = Hidden()

Secret: TypeAlias = Annotated[T, HIDDEN]
"""`def charge(card: Secret[str])`: the argument is encrypted in the store; the handler gets the plain `str`."""

MARK = "$sealed"
"""A sealed JSON value is an object of this one member; a sealed text begins with it and a colon."""

TEXT_MARK = f"{MARK}:"
SHOWN = "[encrypted]"
STARS = "***"


def hides(hint: Any) -> bool:
    """Whether `Secret` stands anywhere in a type: `Secret[str] | None`, `list[Secret[str]]`, a model with a secret field."""
    return _hides(hint, set())


def _hides(hint: Any, seen: set[int]) -> bool:
    if id(hint) in seen:
        return False
    seen.add(id(hint))
    if any(isinstance(each, Hidden) for each in getattr(hint, "__metadata__", ())):
        return True
    if any(_hides(each, seen) for each in get_args(hint)):
        return True
    cls = get_origin(hint) or hint
    if not isinstance(cls, type) or cls.__module__ == "builtins" or not getattr(cls, "__annotations__", None):
        return False
    try:
        fields = get_type_hints(cls, include_extras=True)
    except Exception:  # a name that cannot be resolved; whoever decodes the class will say so
        fields = dict(cls.__annotations__)
    return any(_hides(each, seen) for each in fields.values())


def is_sealed(value: Any) -> bool:
    """Whether a JSON value is a sealed one."""
    if not isinstance(value, Mapping):
        return False
    given = cast("Mapping[Any, Any]", value)
    return len(given) == 1 and isinstance(given.get(MARK), str)


def shown(value: Any) -> Any:
    """A value of arguments, a result or a step as readers see it."""
    if not isinstance(value, Mapping):
        return value
    if is_sealed(value):  # pyright: ignore[reportUnknownArgumentType]
        return SHOWN
    given = cast("Mapping[Any, Any]", value)
    if any(is_sealed(each) for each in given.values()):
        return {name: SHOWN if is_sealed(each) else each for name, each in given.items()}
    return given


def shown_args(args: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as readers see them; those that are sealed as a whole are one member."""
    return {MARK: SHOWN} if is_sealed(args) else shown(args)


def shown_text(text: str) -> str:
    """A log line or a traceback as readers see it."""
    return SHOWN if text.startswith(TEXT_MARK) else text


def any_sealed(args: Mapping[str, Any]) -> bool:
    """Whether arguments are sealed, as a whole or in a member."""
    return is_sealed(args) or any(is_sealed(each) for each in args.values())


def texts_of(value: Any, found: set[str]) -> None:
    """Gather the texts and numbers in a value that are long enough to be recognised in others."""
    if isinstance(value, str):
        if len(value) >= SHORTEST:
            found.add(value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if len(str(value)) >= SHORTEST:
            found.add(str(value))
    elif isinstance(value, Mapping):
        for each in cast("Mapping[Any, Any]", value).values():
            texts_of(each, found)
    elif isinstance(value, Collection):
        for each in cast("Collection[Any]", value):
            texts_of(each, found)


SHORTEST = 4
"""Characters of a secret below which it is not looked for in texts: `1` would blot out half of them."""
