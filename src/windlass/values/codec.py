"""Values as JSON text: encoding within limits, rebuilding by type, and errors that name the field."""

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from pathlib import PurePath
from typing import Any, cast, get_origin

import msgspec

from windlass.errors import InvalidArgs, TooLarge

MEBIBYTE = 1 << 20
MOST_DEPTH = 100
"""Nesting allowed in arguments and results. Every reader of a job recurses this deep, so it stays far below
Python's recursion limit."""

_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*"|[^\[\]{}"]+')
_PLACE = re.compile(r" - at `(?:key` in `)?\$?\.?(?P<path>[^`]*)`$")
_NAMED = re.compile(r"Object (?:contains unknown|missing required) field `(?P<name>[^`]*)`")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


def encode(value: Any, path: str, limit: int, what: str = "args") -> str:
    """The JSON text of `value`.

    Raises `InvalidArgs` naming the field for what JSON cannot hold (NaN and infinity, lone surrogates, foreign objects,
    more than 100 levels), and `TooLarge` over `limit` bytes. `path` is the field's name when the value is one field.
    """
    try:
        raw = _encode(value)
    except Exception as error:  # the hook runs users' code (`model_dump`), which may raise anything
        raise _refusal(value, path, what, error) from error
    if b"null" in raw:  # where msgspec writes NaN and infinity too
        _refuse_non_finite(value, path, what)
    if raw.count(b"[") + raw.count(b"{") > MOST_DEPTH and _depth(raw) > MOST_DEPTH:
        raise _unfit(path or what, f"is nested deeper than {MOST_DEPTH} levels", what)
    if len(raw) > limit:
        raise TooLarge(
            f"{what} take {len(raw):,} bytes as JSON; the limit is {limit:,}",
            field=path or what,
            size=len(raw),
            limit=limit,
            mend="store the data elsewhere and pass its address, or raise the limit in the settings",
        )
    return raw.decode()


def decoder(hint: Any) -> "msgspec.json.Decoder[Any]":
    """A decoder of JSON text to `hint`; TypeError for hints msgspec has no decoder for."""
    return msgspec.json.Decoder(hint, dec_hook=_rebuild)


def convert(value: Any, hint: Any) -> Any:
    """JSON's plain values as `hint`; raises ValueError or TypeError."""
    return msgspec.convert(value, hint, dec_hook=_rebuild, str_keys=True)


def complaint(error: Exception) -> tuple[str, str]:
    """(field path, what is wrong) of a decoding error: `("items[3].price", "Expected `float`, got `str`")`."""
    text = str(error)
    place = _PLACE.search(text)
    path = place["path"] if place else ""
    text = text[: place.start()] if place else text
    named = _NAMED.search(text)
    if named:
        path = join(path, named["name"])
    details = getattr(error.__cause__, "errors", None)  # pydantic's ValidationError
    if callable(details):
        first = cast("dict[str, Any]", cast("list[Any]", details())[0])
        for part in first["loc"]:
            path = join(path, part)
        text = str(first["msg"])
    return path, text


def join(path: str, key: object) -> str:
    """`path` one step deeper: `.name`, `[3]`, or `["odd key"]`."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    text = str(key)
    if not path:
        return text
    return f"{path}.{text}" if _IDENTIFIER.fullmatch(text) else f'{path}["{text}"]'


def _plain(value: Any) -> Any:
    """What msgspec does not encode by itself. Pydantic and numpy are recognised by their methods, never imported."""
    for name, arguments in (("model_dump", {"mode": "json"}), ("tolist", {})):
        method = getattr(value, name, None)
        if callable(method) and not isinstance(value, type):
            return method(**arguments)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, os.PathLike):
        return os.fspath(cast("os.PathLike[str]", value))
    if isinstance(value, Mapping):
        return dict(cast("Mapping[Any, Any]", value))
    if isinstance(value, (Sequence, Set)):
        return list(cast("Sequence[Any]", value))
    raise TypeError(f"is a {type(value).__name__}, which has no JSON form")


def _rebuild(hint: Any, value: Any) -> Any:
    """What msgspec does not decode by itself."""
    cls = get_origin(hint) or hint
    validate = getattr(hint, "model_validate_json", None)
    if callable(validate):  # JSON mode, so that strict models take dates as text
        return validate(_encode(value))
    if not isinstance(cls, type):
        return value
    if issubclass(cls, PurePath) and isinstance(value, str):
        return cls(value)
    try:
        fits = isinstance(value, cls)
    except TypeError:  # a Protocol that cannot be asked
        return value
    if fits:
        return value
    raise TypeError(f"Expected `{getattr(hint, '__name__', hint)}`, which cannot be rebuilt from JSON")


_encode = msgspec.json.Encoder(enc_hook=_plain).encode


def _depth(raw: bytes) -> int:
    deepest = now = 0
    for byte in _STRUCTURE.sub(b"", raw):
        now += 1 if byte in b"[{" else -1
        deepest = max(deepest, now)
    return deepest


def _refusal(value: Any, path: str, what: str, error: Exception) -> InvalidArgs:
    for place, leaf, depth in _leaves(value, path, 0):
        if depth > MOST_DEPTH:
            return _unfit(place, f"is nested deeper than {MOST_DEPTH} levels, or contains itself", what)
        wrong = _why_not(leaf)
        if wrong:
            return _unfit(place or what, wrong, what)
    return _unfit(path or what, f"cannot be written as JSON: {error}", what)


def _refuse_non_finite(value: Any, path: str, what: str) -> None:
    if not _has_non_finite(value):
        return
    for place, leaf, _ in _leaves(value, path, 0):
        if isinstance(leaf, float) and not math.isfinite(leaf):
            raise _unfit(place or what, f"is {leaf!r}, which JSON cannot hold", what)


def _has_non_finite(value: Any) -> bool:
    """Without paths, since every value with a None in it comes this way: about 50 ns a leaf."""
    stack: list[Any] = [value]
    while stack:
        each = stack.pop()
        cls = cast("type[Any]", type(each))
        if cls is str or cls is int or each is None or cls is bool:
            continue
        if cls is list or cls is tuple:
            stack.extend(each)
        elif cls is dict:
            stack.extend(each.values())
        elif isinstance(each, float):
            if not math.isfinite(each):
                return True
        else:
            stack.extend(part for _, part in _parts(each) or ())
    return False


def _why_not(leaf: Any) -> str | None:
    if isinstance(leaf, float) and not math.isfinite(leaf):
        return f"is {leaf!r}, which JSON cannot hold"
    try:
        _encode(leaf)
    except UnicodeEncodeError:
        return "holds a lone surrogate, which is not valid Unicode text"
    except RecursionError:  # a tuple as a key, which msgspec asks about again and again
        return "has no JSON form"
    except Exception as error:
        return str(error)
    return None


def _leaves(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any, int]]:
    """Every value without parts, and every key, with its path; stops going down one level below the limit."""
    parts = None if depth > MOST_DEPTH else _parts(value)
    if parts is None:
        yield path, value, depth
        return
    for key, part in parts:
        place = join(path, key) if isinstance(key, (str, int)) else join(path, repr(key))
        if isinstance(value, dict) and not isinstance(key, str):
            yield f"{path}: key {key!r}".removeprefix(": "), {key: 0}, depth
        elif isinstance(value, dict):
            yield f"{path}: key {key!r}".removeprefix(": "), key, depth
        yield from _leaves(part, place, depth + 1)


def _parts(value: Any) -> list[tuple[Any, Any]] | None:
    if isinstance(value, dict):
        return [*cast("dict[Any, Any]", value).items()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(enumerate(cast("Sequence[Any]", value)))
    if isinstance(value, msgspec.Struct):
        return [(name, getattr(value, name)) for name in value.__struct_fields__]
    if is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name, None)) for field in dataclass_fields(value)]
    if callable(getattr(value, "model_dump", None)) and not isinstance(value, type):
        return [*cast("dict[str, Any]", vars(value)).items()]
    return None


def _unfit(path: str, wrong: str, what: str) -> InvalidArgs:
    return InvalidArgs(f"{path} {wrong}", field=path, mend=f"make {what} of plain values, dataclasses or models")
