"""Enqueueing: one by one, at the same time, in bulk, by name; unique keys; and errors that reach only their caller."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.store.kit import Place
from windlass import (
    BatchTooLarge,
    InvalidArgs,
    JobRef,
    NewJob,
    Unique,
    UnknownKind,
    UnknownParent,
    Windlass,
)


def declared(app: Windlass) -> Any:
    @app.job
    def add(a: int, b: int = 2) -> int:
        return a + b

    return add


async def total(app: Windlass) -> int:
    return sum(sum(states.values()) for states in (await app.queues.stats()).values())


async def test_concurrent_enqueues_share_store_calls(app: Windlass) -> None:
    add = declared(app)
    calls: list[int] = []
    async with app:
        app.stores.observers.append(lambda jobs, _: calls.append(len(jobs)))
        refs = await asyncio.gather(*[add.enqueue(n) for n in range(1_000)])
        assert sum(calls) == 1_000
        assert len(calls) < 10
        assert [(await app.jobs.get(ref.id)).args["a"] for ref in refs[::100]] == list(range(0, 1_000, 100))


async def test_an_error_reaches_only_its_own_caller(app: Windlass) -> None:
    add = declared(app)
    async with app:
        answers = await asyncio.gather(
            add.enqueue(1), add.options(after=["nobody"]).enqueue(2), add.enqueue(3), return_exceptions=True
        )
        assert isinstance(answers[0], JobRef)
        assert isinstance(answers[1], UnknownParent)
        assert answers[1].parent == "nobody"
        assert isinstance(answers[2], JobRef)
        assert await total(app) == 2


async def test_a_cancelled_caller_does_not_disturb_the_others(app: Windlass) -> None:
    add = declared(app)
    async with app:
        first, second = asyncio.ensure_future(add.enqueue(1)), asyncio.ensure_future(add.enqueue(2))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).created
        with pytest.raises(asyncio.CancelledError):
            await first


async def test_a_caller_that_gives_up_while_its_error_is_found_does_not_disturb_the_others(
    app: Windlass, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = declared(app)
    async with app:
        store = await app.store()
        plain = type(store).enqueue

        async def enqueue(self: Any, jobs: Any) -> Any:
            if len(jobs) == 1:  # after the common call has failed each job goes alone
                bad.cancel()
            return await plain(self, jobs)

        monkeypatch.setattr(type(store), "enqueue", enqueue)
        bad = asyncio.ensure_future(add.options(after=["nobody"]).enqueue(1))
        good = asyncio.ensure_future(add.enqueue(2))
        assert (await good).created
        with pytest.raises(asyncio.CancelledError):
            await bad


async def test_wrong_arguments_store_nothing(app: Windlass) -> None:
    add = declared(app)
    async with app:
        with pytest.raises(InvalidArgs) as caught:
            await add.enqueue("one")
        assert caught.value.field == "a"
        with pytest.raises(InvalidArgs):
            await app.enqueue_many([add.job(1), add])
        assert await total(app) == 0


async def test_many_atomically_in_order(app: Windlass) -> None:
    add = declared(app)
    async with app:
        assert await app.enqueue_many([]) == []
        jobs = [add.job(n) for n in range(100)]
        refs = await app.enqueue_many(jobs)
        assert [ref.id for ref in refs] == [job.id for job in jobs]
        with pytest.raises(UnknownParent):
            await app.enqueue_many([add.job(1), add.options(after=["nobody"]).job(2)])
        assert await total(app) == 100


async def test_an_atomic_call_is_bounded(app: Windlass) -> None:
    @app.job
    def store(text: str) -> None: ...

    async with app:
        with pytest.raises(BatchTooLarge) as many:
            await app.enqueue_many(store.job("") for _ in range(10_001))
        assert (many.value.count, many.value.limit) == (10_001, 10_000)
        assert "atomic=False" in many.value.mend
        with pytest.raises(BatchTooLarge):
            await app.enqueue_many([store.job("x" * 1_000_000) for _ in range(17)])
        assert await total(app) == 0


async def test_a_stream_of_any_length(app: Windlass) -> None:
    add = declared(app)

    def numbers() -> Iterator[NewJob[int]]:
        for n in range(12_345):
            yield add.job(n)

    async with app:
        refs = await app.enqueue_many(numbers(), atomic=False)
        assert len(refs) == 12_345
        assert (await app.jobs.get(refs[12_000].id)).args["a"] == 12_000
        assert await total(app) == 12_345


async def test_a_stream_that_breaks_says_how_far_it_came(app: Windlass) -> None:
    add = declared(app)

    def numbers() -> Iterator[NewJob[int]]:
        for n in range(5_000):
            yield add.job(n if n < 4_500 else "broken")

    async with app:
        with pytest.raises(InvalidArgs) as caught:
            await app.enqueue_many(numbers(), atomic=False)
        assert caught.value.stored == await total(app) == 4_000


async def test_unique_keys_hand_out_the_holder(app: Windlass) -> None:
    add = declared(app)
    async with app:
        first = await add.options(unique="k").enqueue(1)
        again = await add.options(unique="k").enqueue(2)
        assert (first.created, again.created) == (True, False)
        assert again.id == first.id
        other = await add.options(unique=Unique(args=("a",))).enqueue(1)
        same = await add.options(unique=Unique(args=("a",))).enqueue(1, 5)
        third = await add.options(unique=Unique(args=("a",))).enqueue(2)
        assert (other.created, same.created, third.created) == (True, False, True)
        await app.drain()
        assert (await add.options(unique="k").enqueue(3)).created
        replaced = await add.options(unique=Unique(key="k", on_conflict="replace")).enqueue(9)
        assert not replaced.created
        assert (await replaced.job()).args["a"] == 9


async def test_kinds_by_name(app: Windlass) -> None:
    declared(app)
    async with app:
        assert (await app.enqueue("add", 1, b=2)).kind == "add"
        with pytest.raises(UnknownKind) as caught:
            await app.enqueue("ad", 1)
        assert caught.value.suggestions == ["add"]
        assert "did you mean 'add'" in str(caught.value)
        with pytest.raises(InvalidArgs):
            await app.enqueue("add", "x")


async def test_kinds_that_workers_published(shared: Place) -> None:
    worker, producer = (Windlass(shared.url, namespace=shared.namespace) for _ in range(2))

    @worker.job(queue="images", priority=5, max_attempts=9, version=2, expires="1h", tags=["t"])
    async def resize(path: str, /, width: int, *more: int, fast: bool = False) -> list[int]:
        return [width, *more]

    async with worker, producer:
        with pytest.raises(UnknownKind) as caught:
            await producer.enqueue("resise", "a")
        assert caught.value.suggestions == ["resize"]
        ref = await producer.enqueue("resize", "a.png", 3, 4, 5)
        job = await ref.job()
        assert (job.queue, job.priority, job.max_attempts, job.tags, job.options) == (
            "images",
            5,
            9,
            ("t",),
            {"version": 2},
        )
        assert job.args == {"path": "a.png", "width": 3, "*": [4, 5]}
        assert job.expires_at
        with pytest.raises(InvalidArgs, match="width"):
            await producer.enqueue("resize", "a.png")
        named = producer.kind("resize").options(delay="5m", queue="other")
        assert (await (await named.enqueue("b.png", 1)).job()).queue == "other"
        assert named.job("b.png", 1).delay == 300_000_000
        await worker.drain()
        assert await ref.result(timeout=5) == [3, 4, 5]
        (info,) = await producer.published_kinds()
        assert (info.name, [p.name for p in info.params]) == ("resize", ["path", "width", "more", "fast"])
        assert await worker.publish_kinds() == 0


async def test_a_kind_that_is_only_named(app: Windlass) -> None:
    async with app:
        named = app.kind("elsewhere")
        with pytest.raises(UnknownKind, match="find_kind"):
            named.job(1)
        with pytest.raises(UnknownKind):
            await named.enqueue(1)
        declared = app.declare("elsewhere", params=["path", "size"], queue="far")
        assert (await (await named.enqueue("x", size=3)).job()).args == {"path": "x", "size": 3}
        with pytest.raises(InvalidArgs) as caught:
            await declared.enqueue("x")
        assert caught.value.field == "size"


async def test_unknown_kinds_may_be_accepted(place: Place) -> None:
    app = Windlass(place.url, namespace=place.namespace, unknown_kinds="accept")
    async with app:
        ref = await app.enqueue("anything", 1, "b", c=[2])
        assert (await ref.job()).args == {"*": [1, "b"], "c": [2]}

        @app.job
        def anything(a: int, b: str, c: list[int]) -> str:
            return f"{a}{b}{c}"

        await app.drain()
        assert await ref.result(timeout=5) == "1b[2]"
