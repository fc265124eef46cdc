"""Small keyed records and their compare-and-set."""

from tests.store.kit import T0, Clock
from windlass.store import Store
from windlass.values.clock import SECOND
from windlass.values.query import Record, Swap


async def swap(store: Store, key: str, text: str | None, **fields: int | None) -> Record:
    (record,) = await store.exchange([Swap(space="s", key=key, text=text, **fields)])
    return record


async def test_write_and_read(store: Store) -> None:
    assert await store.records("s") == []
    one = await swap(store, "b", "one")
    await swap(store, "a", "two")
    assert (one.space, one.key, one.text, one.swapped) == ("s", "b", "one", True)
    assert one.version > 0
    assert [(record.key, record.text, record.swapped) for record in await store.records("s")] == [
        ("a", "two", True),
        ("b", "one", True),
    ]


async def test_only_over_the_expected_version(store: Store) -> None:
    first = await swap(store, "k", "1", expect=0)
    assert first.swapped
    second = await swap(store, "k", "2", expect=first.version)
    assert second.swapped
    assert second.version > first.version
    refused = await swap(store, "k", "3", expect=first.version)
    assert (refused.swapped, refused.text, refused.version) == (False, "2", second.version)
    refused = await swap(store, "k", "3", expect=0)
    assert (refused.swapped, refused.text) == (False, "2")
    forced = await swap(store, "k", "3")
    assert (forced.swapped, forced.text) == (True, "3")
    assert forced.version > second.version


async def test_an_expected_version_of_nothing_is_refused(store: Store) -> None:
    refused = await swap(store, "k", "1", expect=5)
    assert (refused.swapped, refused.text, refused.version) == (False, None, 0)
    assert await store.records("s") == []


async def test_delete(store: Store) -> None:
    first = await swap(store, "k", "1")
    refused = await swap(store, "k", None, expect=first.version + 1)
    assert (refused.swapped, refused.text) == (False, "1")
    assert (await swap(store, "k", None, expect=first.version)).swapped
    assert await store.records("s") == []
    assert (await swap(store, "k", None)).swapped, "to delete what is not there is no failure"
    assert (await swap(store, "k", "2", expect=0)).swapped


async def test_records_vanish_in_time(store: Store, clock: Clock) -> None:
    await swap(store, "k", "1", ttl=10 * SECOND)
    await swap(store, "stays", "1")
    await clock.set(T0 + 10 * SECOND - 1)
    assert [record.key for record in await store.records("s")] == ["k", "stays"]
    await clock.set(T0 + 10 * SECOND)
    assert [record.key for record in await store.records("s")] == ["stays"]
    assert await store.records("s", ["k"]) == []
    assert (await swap(store, "k", "2", expect=0)).swapped


async def test_a_later_write_renews_or_lifts_the_end(store: Store, clock: Clock) -> None:
    await swap(store, "renewed", "1", ttl=10 * SECOND)
    await swap(store, "lifted", "1", ttl=10 * SECOND)
    await clock.forward(9 * SECOND)
    await swap(store, "renewed", "2", ttl=10 * SECOND)
    await swap(store, "lifted", "2")
    await clock.forward(9 * SECOND)
    assert [record.key for record in await store.records("s")] == ["lifted", "renewed"]
    await clock.forward(SECOND)
    assert [record.key for record in await store.records("s")] == ["lifted"]


async def test_each_swap_by_itself_and_in_order(store: Store) -> None:
    first, second, third, fourth = await store.exchange(
        [
            Swap(space="s", key="k", text="1", expect=0),
            Swap(space="s", key="k", text="2", expect=0),
            Swap(space="t", key="k", text="3", expect=0),
            Swap(space="s", key="k", text="4"),
        ]
    )
    assert [first.swapped, second.swapped, third.swapped, fourth.swapped] == [True, False, True, True]
    assert (second.text, fourth.text) == ("1", "4")
    assert [record.text for record in await store.records("s")] == ["4"]
    assert [record.text for record in await store.records("t")] == ["3"]


async def test_some_keys_of_a_space(store: Store) -> None:
    for key in ("a", "b", "c"):
        await swap(store, key, key)
    assert [record.key for record in await store.records("s", ["c", "missing", "a"])] == ["a", "c"]
    assert await store.records("s", []) == []
    assert await store.exchange([]) == []


async def test_keys_are_told_apart_exactly(store: Store) -> None:
    keys = ["a", "A", "a ", "ä", "a:b", "a\nb", "*", "%", "日本"]
    for key in keys:
        assert (await swap(store, key, key, expect=0)).swapped
    assert {record.key: record.text for record in await store.records("s")} == {key: key for key in keys}
