"""Binding calls to one JSON object by parameter name, and back, for every kind of parameter and type."""

import datetime as dt
import enum
import functools
import inspect
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict

import msgspec
import pydantic
import pytest

from windlass.declare.signature import Binder, read_hints, read_parameters
from windlass.errors import InvalidArgs, InvalidOption
from windlass.running.context import Context


def binder(fn: Callable[..., Any]) -> Binder:
    parameters, _ = read_parameters(fn)
    return Binder(fn.__name__, parameters, lambda: read_hints(fn))


def object_of(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    return msgspec.json.decode(binder(fn).bind(args, kwargs))


def through(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What `fn` returns when its call has gone through JSON."""
    bound = binder(fn)
    positional, named = bound.decode(bound.bind(args, kwargs))
    return fn(*positional, **named)


def error_of(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> InvalidArgs:
    with pytest.raises(InvalidArgs) as caught:
        binder(fn).bind(args, kwargs)
    return caught.value


def add(a: int, b: int = 2, *, c: int = 3) -> tuple[int, int, int]:
    return a, b, c


def test_one_object_by_parameter_name_defaults_included() -> None:
    assert object_of(add, 1) == {"a": 1, "b": 2, "c": 3}
    assert object_of(add, b=5, a=4, c=6) == {"a": 4, "b": 5, "c": 6}
    assert through(add, 1, 5, c=6) == (1, 5, 6)


@pytest.mark.parametrize(
    ("args", "kwargs", "field"),
    [
        ((), {}, "a"),
        ((1, 2, 3), {}, "*"),
        ((1,), {"d": 1}, "d"),
        ((1,), {"a": 1}, "a"),
        (("1",), {}, "a"),
        ((1,), {"c": "x"}, "c"),
        ((1.5,), {}, "a"),
        ((True,), {}, "a"),
    ],
)
def test_calls_that_do_not_fit_name_the_argument(args: tuple[Any, ...], kwargs: dict[str, Any], field: str) -> None:
    error = error_of(add, *args, **kwargs)
    assert error.field == field
    assert error.kind == "add"
    assert "add" in str(error)
    assert "a, b, c" in error.mend


class Line(msgspec.Struct):
    price: float


def test_paths_reach_into_items() -> None:
    def order(items: list[Line]) -> None: ...

    error = error_of(order, [{"price": 1}, {"price": 2}, {"price": 3}, {"price": "x"}])
    assert error.field == "items[3].price"


def rest(a: int, /, b: int = 2, *args: int, c: int = 3, **kwargs: float) -> Any:
    return a, b, args, c, kwargs


def test_every_kind_of_parameter() -> None:
    assert object_of(rest, 1, 2, 3, 4, c=5, d=6) == {"a": 1, "b": 2, "*": [3, 4], "c": 5, "d": 6}
    assert through(rest, 1, 2, 3, 4, c=5, d=6) == (1, 2, (3, 4), 5, {"d": 6.0})
    assert through(rest, 1) == (1, 2, (), 3, {})
    assert error_of(rest, 1, 2, "x").field.startswith("*")
    assert error_of(rest, 1, d="x").field == "d"
    assert error_of(rest, 1, a=2).field == "a"
    assert error_of(rest, 1, **{"*": 2}).field == "*"


def test_keyword_only_without_default_after_default() -> None:
    def f(a: int = 1, *, b: int) -> Any:
        return a, b

    assert through(f, b=2) == (1, 2)
    assert error_of(f, 1).field == "b"


class Colour(enum.Enum):
    RED = "red"


class Point(NamedTuple):
    x: int
    y: int


class Options(TypedDict):
    name: str
    size: NotRequired[int]


@dataclass
class Address:
    street: str
    since: dt.date | None = None


class Model(pydantic.BaseModel):
    at: dt.datetime
    addresses: list[Address] = []


NOW = dt.datetime(2030, 1, 2, 3, 4, 5, 678_901, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (Colour, Colour.RED),
        (dt.datetime, NOW),
        (dt.datetime, NOW.replace(tzinfo=None)),
        (dt.date, NOW.date()),
        (dt.time, NOW.time()),
        (dt.timedelta, dt.timedelta(days=3, microseconds=5)),
        (uuid.UUID, uuid.UUID(int=5)),
        (Decimal, Decimal("1.10")),
        (bytes, b"\x00\xff"),
        (set[int], {1, 2}),
        (frozenset[str], frozenset("a")),  # two would differ in order, and so in the name of the test, between runs
        (tuple[int, str], (1, "a")),
        (tuple[int, ...], (1, 2, 3)),
        (dict[int, Colour], {5: Colour.RED}),
        (Point, Point(1, 2)),
        (Options, {"name": "x"}),
        (Address, Address("s", NOW.date())),
        (Model, Model(at=NOW, addresses=[Address("s")])),
        (Model | None, None),
        (Model | Address, Address("s")),
        (int | str, "x"),
        (Literal["a", "b"], "b"),
        (Annotated[int, msgspec.Meta(ge=1)], 3),
        (Path, Path("/tmp/x")),
        (float, 2),
        (Any, {"deep": [1, None, "x"]}),
        (object, [1]),
    ],
    ids=str,
)
def test_types_come_back(hint: Any, value: Any) -> None:
    def f(x) -> Any:  # type: ignore[no-untyped-def]
        return x

    f.__annotations__["x"] = hint
    assert through(f, value) == value
    assert type(through(f, value)) in (type(value), float)


def test_constraints_and_models_name_their_field() -> None:
    def f(n: Annotated[int, msgspec.Meta(ge=1)], m: Model | None = None) -> None: ...

    assert error_of(f, 0).field == "n"
    assert error_of(f, 1, {"at": "soon"}).field == "m.at"


def test_defaults_that_json_cannot_hold_stay_with_the_function() -> None:
    sentinel = object()

    def f(a: int, b: Any = sentinel, c: list[int] = [1], d: int = None, e: int = 5) -> Any:  # type: ignore[assignment]  # noqa: B006, RUF013
        return a, b is sentinel, c, d, e

    assert object_of(f, 1) == {"a": 1, "e": 5}
    assert through(f, 1) == (1, True, [1], None, 5)
    assert through(f, 1, e=7) == (1, True, [1], None, 7)
    assert through(f, 1, 2, [3]) == (1, False, [3], None, 5)


def test_stored_without_the_signature_still_fits() -> None:
    assert binder(add).decode('{"*":[1,2],"c":4}') == ((1, 2), {"c": 4})
    with pytest.raises(InvalidArgs):
        binder(add).decode('{"*":[1,2,3,4]}')
    with pytest.raises(InvalidArgs):
        binder(add).decode("[1]")


def test_names_that_structs_dislike() -> None:
    def f(self: int, __secret: int, cls: int = 3) -> Any:
        return self, __secret, cls

    assert through(f, 1, 2) == (1, 2, 3)


def with_context(ctx: Context, a: int) -> None: ...
def with_text(ctx: "Context", a: int) -> None: ...
def with_bare(ctx, a: int) -> None: ...  # type: ignore[no-untyped-def]
def without(a: int) -> None: ...
def keyword(*, ctx: Any) -> None: ...
def other(ctx: int) -> None: ...


class Elsewhere:
    class Context: ...


def foreign(ctx: Elsewhere.Context) -> None: ...
def foreign_text(ctx: "Elsewhere.Context") -> None: ...


@pytest.mark.parametrize(
    ("fn", "takes"),
    [
        (with_context, True),
        (with_text, True),
        (with_bare, True),
        (without, False),
        (keyword, False),
        (other, False),
        (foreign, False),
        (foreign_text, False),
    ],
    ids=lambda x: getattr(x, "__name__", str(x)),
)
def test_the_context_is_recognised(fn: Callable[..., Any], takes: bool) -> None:
    parameters, found = read_parameters(fn)
    assert found is takes
    assert len(parameters) == len(inspect.signature(fn).parameters) - takes


def test_a_context_imported_for_type_checkers_only() -> None:
    def f(ctx: "SomewhereElse.Context", a: int) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert read_parameters(f)[1]


def test_unresolvable_hints_leave_only_their_parameter_untyped() -> None:
    def f(a: "Nowhere", b: int) -> Any:  # type: ignore[name-defined]  # noqa: F821
        return a, b

    assert through(f, {"x": 1}, 2) == ({"x": 1}, 2)
    assert error_of(f, 1, "x").field == "b"


def test_partials_and_callable_objects() -> None:
    class Doubler:
        __name__ = "doubler"

        def __call__(self, a: int) -> int:
            return a * 2

    assert through(Doubler(), 4) == 8  # type: ignore[arg-type]
    assert error_of(Doubler(), "x").field == "a"  # type: ignore[arg-type]
    half: Any = functools.partial(add, 1)
    half.__name__ = "half"
    assert through(half, 5) == (1, 5, 3)


def test_invalid_args_is_a_value_error() -> None:
    assert issubclass(InvalidArgs, ValueError)
    assert issubclass(InvalidOption, ValueError)
