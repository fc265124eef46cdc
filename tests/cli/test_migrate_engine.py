"""`windlass migrate-engine`: counts first, then moves, and says what is in the way."""

import asyncio

import pytest

from tests.cli.terminal import Shell
from tests.store.kit import Hand, new
from tests.store.places import Place, bare_place_for, chosen_engines
from windlass.store import open_store


async def workers_of(place: Place, *, leaving: bool) -> None:
    store = open_store(place.url, place.namespace)
    await store.open()
    await Hand(store, "alive").beat(leaving=leaving)
    await store.close()


@pytest.mark.parametrize("there", chosen_engines(processes=True))
def test_a_shop_moves(shop: Shell, there: str) -> None:
    with bare_place_for(there) as place:
        to = ("--to", place.url, "--namespace-to", place.namespace)
        plan = shop.ok("migrate-engine", "--from", "sqlite:///shop.db", *to, "--dry-run", "-o", "json").json
        assert plan["jobs"] == {"delayed": 1, "failed": 1, "waiting": 2}
        assert (plan["total"], plan["dry_run"]) == (4, True)
        assert "jobs in all    4" in shop.ok("migrate-engine", "--from", "sqlite:///shop.db", *to, "--dry-run").out
        assert asyncio.run(_found(place)) == 0, "a dry run makes nothing"

        moved = shop.ok("migrate-engine", "--from", "sqlite:///shop.db", *to)
        assert "4 (4 new)" in moved.out
        assert "copied 4 of 4 jobs" in moved.err
        again = shop.ok("migrate-engine", "--from", "sqlite:///shop.db", *to, "-o", "json").json
        assert (again["jobs"], again["new"]) == (4, 0)
        assert again["checksum"] in moved.out

        store = ("--url", place.url, "--namespace", place.namespace)
        shop.ok("worker", "-A", "shop", *store, "--until-idle")
        assert len(shop.ok("jobs", "ls", *store, "--state", "completed", "-o", "ids").lines) == 2
        assert len(shop.ok("dead", "ls", *store, "-o", "ids").lines) == 1

        back = shop.run("migrate-engine", "--from", "sqlite:///shop.db", *to)
        assert back.code == 1
        assert "error[move-failed]" in back.err
        asyncio.run(_erase(place))


async def _found(place: Place) -> int:
    store = open_store(place.url, place.namespace)
    found, _ = await store.schema()
    await store.close()
    return found


async def _erase(place: Place) -> None:
    store = open_store(place.url, place.namespace)
    await store.open()
    await store.erase(force=True)


def test_workers_are_in_the_way(shop: Shell) -> None:
    place = Place(f"sqlite:///{shop.folder / 'shop.db'}", "windlass", crosses_processes=True)
    asyncio.run(workers_of(place, leaving=False))
    refused = shop.run("migrate-engine", "--from", "sqlite:///shop.db", "--to", "sqlite:///new.db")
    assert refused.code == 1
    assert "error[move-refused]: a worker runs on" in refused.err
    counted = shop.run("migrate-engine", "--from", "sqlite:///shop.db", "--to", "sqlite:///new.db", "--dry-run")
    assert counted.code == 1
    assert "alive" in counted.err
    asyncio.run(workers_of(place, leaving=True))
    shop.ok("migrate-engine", "--from", "sqlite:///shop.db", "--to", "sqlite:///new.db")


def test_mistakes(shop: Shell) -> None:
    words = ("migrate-engine", "--from", "sqlite:///shop.db", "--to")
    same = shop.run(*words, "sqlite:///shop.db")
    assert (same.code, "the same store" in same.err) == (2, True)
    assert shop.run(*words, "oracle://x").code == 2
    assert shop.run(*words, "sqlite:////no/such/folder/x.db").code == 5
    assert shop.run("migrate-engine", "--from", "sqlite:///shop.db").code == 2
    lost = shop.run("migrate-engine", "--from", "sqlite:///typo.db", "--to", "sqlite:///new.db")
    assert (lost.code, "error[store-not-found]" in lost.err) == (4, True)
    assert not (shop.folder / "typo.db").exists()
    elsewhere = shop.run(*words, "sqlite:///new.db", "--namespace-from", "other")
    assert elsewhere.code == 4
    shop.ok(*words, "sqlite:///shop.db", "--namespace-to", "other")  # another part of the same file


async def test_a_store_that_was_never_opened_tells_its_schema() -> None:
    for engine in chosen_engines():
        with bare_place_for(engine) as place:
            store = open_store(place.url, place.namespace)
            assert (await store.schema())[0] == 0
            await store.close()
            await store.open()
            await store.enqueue([new()])
            other = store.sibling() if not place.crosses_processes else open_store(place.url, place.namespace)
            if place.crosses_processes:
                found, known = await other.schema()
                assert found == known
            await other.close()
            await store.erase(force=True)
