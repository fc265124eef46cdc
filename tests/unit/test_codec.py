"""Values as JSON text: what is refused, by which name, and what comes back."""

import math
from collections import OrderedDict, deque
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pytest

from windlass.errors import InvalidArgs, TooLarge
from windlass.values.codec import MEBIBYTE, MOST_DEPTH, decoder, encode


def text(value: Any, limit: int = MEBIBYTE) -> str:
    return encode(value, "", limit)


def refused(value: Any) -> InvalidArgs:
    with pytest.raises(InvalidArgs) as caught:
        text(value)
    return caught.value


@dataclass
class Item:
    price: float


class Name(str): ...


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_non_finite_numbers_are_refused_by_path(number: float) -> None:
    error = refused({"items": [Item(1.0), None, Item(number)]})
    assert error.field == "items[2].price"
    assert repr(number) in str(error)


def test_null_is_not_mistaken_for_nan() -> None:
    assert text({"a": None, "b": "null"}) == '{"a":null,"b":"null"}'


def test_lone_surrogates_are_refused_in_values_and_keys() -> None:
    assert refused({"note": {"text": "\ud800"}}).field == "note.text"
    assert "surrogate" in str(refused({"\udfff": 1}))


def test_foreign_objects_are_refused_by_path_and_class() -> None:
    error = refused({"conn": [object()]})
    assert error.field == "conn[0]"
    assert "object" in str(error)
    assert refused({"later": (n for n in "ab")}).field == "later"


def test_depth_is_bounded_and_cycles_are_refused() -> None:
    fine: Any = 0
    for _ in range(MOST_DEPTH):
        fine = [fine]
    assert text(fine)
    assert "deeper" in str(refused([fine]))
    bomb: Any = []
    for _ in range(100_000):
        bomb = [bomb]
    assert "deeper" in str(refused(bomb))
    circle: list[Any] = []
    circle.append(circle)
    assert "deeper" in str(refused(circle))


def test_brackets_in_text_are_no_depth() -> None:
    assert text(["[" * 500, '"[[{' * 300])


def test_many_shallow_containers_are_fine() -> None:
    assert text([{"a": [1]} for _ in range(1_000)])


def test_size_is_bounded_and_named() -> None:
    with pytest.raises(TooLarge) as caught:
        text({"blob": "x" * 2_000}, limit=1_024)
    assert caught.value.limit == 1_024
    assert caught.value.size > 2_000
    assert caught.value.field == "args"
    assert text("é" * 511, limit=1_024)
    with pytest.raises(TooLarge):
        text("é" * 512, limit=1_024)


def test_big_integers_survive() -> None:
    assert decoder(int).decode(text(2**80)) == 2**80
    assert decoder(Any).decode(text(-(2**70))) == -(2**70)


def test_subclasses_and_abstract_containers_become_plain() -> None:
    value = {"s": Name("x"), "d": OrderedDict(a=1), "q": deque([1, 2]), "r": range(3), "p": PurePosixPath("/tmp/x")}
    assert text(value) == '{"s":"x","d":{"a":1},"q":[1,2],"r":[0,1,2],"p":"/tmp/x"}'


def test_a_raising_dump_is_reported_not_leaked() -> None:
    class Model:
        def model_dump(self, mode: str) -> Any:
            raise RuntimeError("broken model")

    assert "broken model" in str(refused({"m": Model()}))


def test_a_tuple_as_a_key_is_named() -> None:
    with pytest.raises(InvalidArgs, match=r"key \(1, 2\) has no JSON form"):
        encode({(1, 2): 3}, "x", MEBIBYTE)
