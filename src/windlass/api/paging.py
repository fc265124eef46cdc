"""Lists: opaque cursors that belong to one question, totals that stop counting, and links to the next page."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import Annotated, Any, Generic, Literal, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Meta

from windlass.api.operation import Call, Reply
from windlass.api.problems import Flaw, Problem

T = TypeVar("T")

Limit = Annotated[int, Meta(ge=1, le=500, description="At most so many items.")]
Cursor = Annotated[
    str, Meta(min_length=1, max_length=2_000, description="Where to go on: `next_cursor` of the page before.")
]


class Total(msgspec.Struct, frozen=True):
    """How many there are: exactly (`eq`), or at least so many (`gte`), since nobody counts to a million for a page of 50."""

    value: int
    relation: Literal["eq", "gte"]


class Listing(msgspec.Struct, Generic[T], frozen=True):
    """A page. It may be short, even empty: only `next_cursor` null means the end."""

    items: list[T]
    next_cursor: str | None
    total: Total


def write_cursor(question: Any, place: str | None) -> str | None:
    """A cursor for the next page of a question."""
    if place is None:
        return None
    return urlsafe_b64encode(msgspec.json.encode((_name(question), place))).decode().rstrip("=")


def read_cursor(question: Any, cursor: str | None) -> str | None:
    """The place that a cursor stands for; a `Problem` if it is none, or of another question."""
    if cursor is None:
        return None
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        name, place = msgspec.json.decode(urlsafe_b64decode(padded), type=tuple[str, str])
    except ValueError:
        name, place = "", ""
    if name != _name(question) or not place.isascii():
        flaw = Flaw("must be the next_cursor of a page with the same filter", "invalid", parameter="cursor")
        raise Problem(422, "invalid-cursor", "the cursor is none of this list", flaws=[flaw])
    return place


def listing(
    call: Call, question: Any, items: list[T], place: str | None, total: Total | None = None
) -> Reply[Listing[T]]:
    """A page of items with its cursor and links. Without a `total`, what this page proves is told."""
    cursor = write_cursor(question, place)
    given = [pair for pair in call.request.query_params.multi_items() if pair[0] != "cursor"]
    path = call.request.url.path
    links = [_link(path, given, "first")]
    if cursor is not None:
        links.append(_link(path, [*given, ("cursor", cursor)], "next"))
    first = "cursor" not in call.request.query_params
    if total is None:
        total = Total(len(items) + (cursor is not None), "eq" if first and cursor is None else "gte")
    headers = {"Link": ", ".join(links)} if call.request.method == "GET" else {}
    return Reply(Listing(items, cursor, total), headers=headers)


def whole(call: Call, items: list[T]) -> Reply[Listing[T]]:
    """A list that has one page."""
    return listing(call, "", items, None)


def _link(path: str, given: list[tuple[str, str]], rel: str) -> str:
    return f'<{quote(path)}{"?" if given else ""}{urlencode(given)}>; rel="{rel}"'


def _name(question: Any) -> str:
    """What tells one question from another, so that a cursor is not taken to a list it does not fit."""
    return blake2b(msgspec.json.encode(question), digest_size=8).hexdigest()
