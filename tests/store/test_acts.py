"""The record of acts: written with what they did or by themselves, found by every field, paged while new ones come."""

from typing import Any

import msgspec
import pytest

from tests.store.kit import T0, Clock, Place, act, new, put
from tests.store.test_races import together
from tests.store.test_text import TEXTS
from windlass.errors import InvalidOption
from windlass.store import Store
from windlass.values.clock import SECOND, Micros
from windlass.values.limit import LimitChange
from windlass.values.query import Action, AuditEntry, AuditQuery, Retention
from windlass.values.queue import QueueChange
from windlass.values.schedule import ScheduleRow


def acted(action: str = "login", target: str = "session", actor: str = "anna", detail: str = "{}") -> AuditEntry:
    return AuditEntry(at=0, actor=actor, action=action, target=target, detail=detail)


async def found(store: Store, **fields: Any) -> list[AuditEntry]:
    return await store.audit(AuditQuery(**fields))


async def details(store: Store, **fields: Any) -> list[str]:
    return [entry.detail for entry in await found(store, **fields)]


async def note(store: Store, *entries: AuditEntry) -> None:
    await store.note_acts(entries)


async def pages(store: Store, size: int, **fields: Any) -> list[AuditEntry]:
    """All entries, page by page."""
    entries: list[AuditEntry] = []
    before: str | None = None
    while page := await found(store, before=before, limit=size, **fields):
        assert len(page) <= size
        entries += page
        before = page[-1].id
    return entries


async def test_acts_that_no_other_verb_writes(store: Store, clock: Clock) -> None:
    await note(store)
    assert await found(store) == []
    await note(store, acted(detail='{"n":1}'), acted("logout", "session", "ben", '{"n":2}'))
    await clock.forward(SECOND)
    await note(store, acted("read", "job", detail='{"n":3}'))
    entries = await found(store)
    assert [(e.at, e.actor, e.action, e.target, e.detail) for e in entries] == [
        (T0 + SECOND, "anna", "read", "job", '{"n":3}'),
        (T0, "ben", "logout", "session", '{"n":2}'),
        (T0, "anna", "login", "session", '{"n":1}'),
    ], "newest first, their time is the store's"
    assert len({entry.id for entry in entries}) == 3
    assert all(entry.id for entry in entries)


async def test_they_stand_among_the_acts_of_verbs(store: Store) -> None:
    (id,) = await put(store, new())
    await note(store, acted())
    await act(store, Action.CANCEL, id)
    await note(store, acted("logout"))
    await store.put_queue("q", QueueChange(paused=True), "ops")
    assert [entry.action for entry in await found(store)][1:] == ["logout", "cancel", "login"]
    assert [entry.target for entry in await found(store)] == ["queue:q", "session", id, "session"]


async def fill(store: Store, clock: Clock) -> None:
    """Ten acts, a second apart; the detail is their number."""
    for n in range(10):
        target = ("job", "queue:mail", "queue:main", "key:1", "jobs")[n % 5]
        await note(store, acted(("login", "key-made", "key-gone")[n % 3], target, ("anna", "ben")[n % 2], str(n)))
        await clock.forward(SECOND)


@pytest.mark.parametrize(
    ("fields", "numbers"),
    [
        ({}, "9876543210"),
        ({"actor": "anna"}, "86420"),
        ({"actor": "ann"}, ""),
        ({"action": "login"}, "9630"),
        ({"action": "key-*"}, "875421"),
        ({"action": "key"}, ""),
        ({"target": "queue:mail"}, "61"),
        ({"target": "queue:*"}, "7621"),
        ({"target": "queue:mai*"}, "7621"),
        ({"target": "queue"}, ""),
        ({"target": "job"}, "50"),
        ({"target": "job*"}, "9540"),
        ({"since": T0 + 7 * SECOND}, "987"),
        ({"until": T0 + 2 * SECOND}, "10"),
        ({"since": T0 + 3 * SECOND, "until": T0 + 4 * SECOND}, "3"),
        ({"since": T0 + 4 * SECOND, "until": T0 + 4 * SECOND}, ""),
        ({"limit": 3}, "987"),
        ({"limit": 1, "actor": "anna", "action": "key-*"}, "8"),
        ({"actor": "anna", "target": "queue:*"}, "62"),
        ({"actor": "ben", "action": "key-gone", "target": "j*", "since": T0, "until": T0 + 9 * SECOND}, "5"),
    ],
    ids=str,
)
async def test_each_field(store: Store, clock: Clock, fields: dict[str, Any], numbers: str) -> None:
    await fill(store, clock)
    assert "".join(await details(store, **fields)) == numbers
    if "limit" not in fields:
        for size in (1, 3):
            assert "".join(entry.detail for entry in await pages(store, size, **fields)) == numbers


async def test_stars_and_only_stars_are_wild(store: Store) -> None:
    targets = ("queue:a_b", "queue:axb", "queue:A_B", "queue:100%", "queue:[ab]", "queue:a", "page:?x", "page:yx")
    await note(store, *(acted(target=target, detail=target) for target in targets))
    assert await details(store, target="queue:a_*") == ["queue:a_b"], "no underscore is wild, no capital is small"
    assert await details(store, target="queue:1%*") == []
    assert await details(store, target="queue:100%*") == ["queue:100%"]
    assert await details(store, target="queue:[ab]*") == ["queue:[ab]"]
    assert await details(store, target="page:?*") == ["page:?x"]
    assert await details(store, target="queue:a") == ["queue:a"]
    assert sorted(await details(store, target="queue:a*")) == ["queue:a", "queue:a_b", "queue:axb"]
    assert await details(store, target="*") == list(targets[::-1])
    await note(store, acted(action="key_made"), acted(action="keyXmade"))
    assert [entry.action for entry in await found(store, action="key_*")] == ["key_made"]
    assert await found(store, action="KEY*") == []


@pytest.mark.parametrize("name", [name for name in TEXTS if name != "empty"])
async def test_any_text(store: Store, name: str) -> None:
    text = TEXTS[name]
    detail = msgspec.json.encode({"text": text}).decode()
    await note(store, acted(text, text, text, detail), acted())
    for fields in ({"actor": text}, {"action": text}, {"target": text}, {"target": text + "*"}):
        (entry,) = await found(store, **fields)
        assert (entry.actor, entry.action, entry.target, entry.detail) == (text, text, text, detail)


async def test_every_verb_of_operators_is_found_by_its_target(store: Store, clock: Clock) -> None:
    one, two, three = await put(store, *(new() for _ in range(3)))
    await act(store, Action.CANCEL, one, actor="a")
    await act(store, Action.REPRIORITISE, two, three, priority=3, actor="b")
    await store.put_queue("q", QueueChange(paused=True), "c")
    await store.put_schedules([ScheduleRow(key="s", spec="x")], "d")
    await store.put_limits([LimitChange(key="k", concurrency=1)], "e")
    await store.put_limits([LimitChange(key="silent", concurrency=1)], None)
    await store.drop_schedules(["s"], "f")
    await store.signal(two, "go", "1", "g")

    async def actors(**fields: Any) -> str:
        return "".join(entry.actor for entry in await found(store, **fields))

    assert await actors() == "gfedcba"
    assert await actors(target=one) == "a"
    assert await actors(target="jobs") == "b"
    assert await actors(target="queue:q") == "c"
    assert await actors(target="schedule:*") == "fd"
    assert await actors(target="limit:*") == "e"
    assert await actors(target=two) == "g"
    assert await actors(actor="e") == "e"
    for size in (1, 2, 5):
        assert "".join(entry.actor for entry in await pages(store, size)) == "gfedcba"


async def test_acts_of_one_instant_are_paged_without_loss(store: Store, clock: Clock) -> None:
    await note(store, *(acted(detail=str(n)) for n in range(25)))
    for n in range(25, 50):
        await note(store, acted(detail=str(n)))
    whole = await found(store)
    assert [entry.detail for entry in whole] == [str(n) for n in range(49, -1, -1)]
    for size in (1, 7, 10, 49, 50, 60):
        assert await pages(store, size) == whole


@pytest.mark.parametrize("fields", [{}, {"actor": "anna"}, {"target": "queue:*"}, {"since": T0}], ids=str)
async def test_pages_hold_while_new_acts_come(store: Store, clock: Clock, fields: dict[str, Any]) -> None:
    for n in range(30):
        await note(store, acted(target=f"queue:{n}", detail=str(n)))
        if n % 4 == 0:
            await clock.forward(SECOND)
    seen: list[str] = []
    before: str | None = None
    while page := await found(store, before=before, limit=4, **fields):
        seen += [entry.detail for entry in page]
        before = page[-1].id
        await note(store, acted(target="queue:new", detail="new"), acted(target="queue:newer", detail="new"))
    assert seen == [str(n) for n in range(29, -1, -1)], "each once, none of the new"


async def test_pages_go_back_over_a_clock_that_was_set_back(store: Store, clock: Clock) -> None:
    for n, at in enumerate((5, 9, 2, 7, 2)):
        await clock.set(T0 + at * SECOND)
        await note(store, acted(detail=str(n)))
    whole = await found(store)
    assert sorted(entry.detail for entry in whole) == list("01234")
    assert await pages(store, 2) == whole


@pytest.mark.parametrize("before", ["nonsense", "", "ü 👍", "1 2", "'; --"])
async def test_a_page_behind_nothing_is_refused(store: Store, before: str) -> None:
    await note(store, acted())
    with pytest.raises(InvalidOption):
        await found(store, before=before)


async def test_the_last_page_may_have_been_pruned(store: Store, clock: Clock) -> None:
    await fill(store, clock)
    page = await found(store, limit=5)
    await clock.set(T0 + 100 * SECOND)
    while await store.prune(Retention(audit=93 * SECOND + SECOND // 2, metrics=None), 100):
        pass
    assert "".join(await details(store)) == "987"
    assert await found(store, before=page[-1].id) == []
    assert await details(store, before=page[1].id) == ["7"], "a page's end holds while entries before it stay"


async def test_many_hands_note_at_once(store: Store, place: Place) -> None:
    async def body(store: Store, number: int) -> None:
        for n in range(25):
            await store.note_acts([acted(actor=f"a{number}", detail=f"{n}-{k}") for k in range(2)])

    await together(place, body)
    for number in range(4):
        mine = await pages(store, 7, actor=f"a{number}")
        assert [entry.detail for entry in mine] == [f"{n}-{k}" for n in range(24, -1, -1) for k in (1, 0)]
    entries = await pages(store, 33)
    assert len(entries) == len({entry.id for entry in entries}) == 200


async def test_a_page_of_a_thousand(store: Store) -> None:
    for start in range(0, 1_200, 400):
        await note(store, *(acted(detail=str(n)) for n in range(start, start + 400)))
    assert await details(store, limit=1_000) == [str(n) for n in range(1_199, 199, -1)]
    assert len(await pages(store, 500)) == 1_200
    times: set[Micros] = {entry.at for entry in await found(store, limit=1_000)}
    assert len(times) <= 3, "acts of one call have one time"
