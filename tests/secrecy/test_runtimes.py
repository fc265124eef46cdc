"""Secrets in every shape of handler: child processes, chunks, generators, models, secret results, transactions, moves."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pydantic

from tests.secrecy.kit import CANARY, FIRST, make_app, raw_bytes
from tests.store.kit import Place
from windlass import Chunk, Context, Windlass
from windlass.secrecy import Keys, Secret
from windlass.values.states import State

CORE = b"canary-7f3a"

app = Windlass("sqlite://:memory:", encryption=Keys({"one": FIRST}))


@app.job(encrypt=True, runtime="process", max_attempts=1)
def crunch(ctx: Context, card: str, fail: bool = False) -> str:
    ctx.log(f"crunching {card}")
    assert CANARY not in repr(ctx.job)
    if fail:
        raise ValueError(card)
    return f"{card} {ctx.sync.step('len', len, card)}"


class Account(pydantic.BaseModel):
    """A model with a secret in it."""

    name: str
    pin: Secret[str]


async def test_child_processes() -> None:
    async with app:
        good = await crunch.enqueue(CANARY)
        bad = await crunch.enqueue(CANARY, fail=True)
        await app.worker(processes=1).run(until_idle=True)
        assert await good.result(5) == f"{CANARY} {len(CANARY)}"
        job = await app.jobs.get(bad.id)
        assert job.error is not None
        assert job.error.message == "[encrypted]"
        store = await app.store()
        kept = repr([await app.jobs.get(good.id), job, await store.log(good.id), await store.steps(good.id)])
        assert CORE.decode() not in kept
        assert (await app.jobs.reveal(good.id)).log[0].text == f"crunching {CANARY}"


async def test_chunks_generators_models_and_secret_results(place: Place) -> None:
    app = Windlass(place.url, namespace=place.namespace, encryption=Keys({"one": FIRST}))

    @app.job(encrypt=True, chunk=10)
    async def gathered(chunk: Chunk[str, str]) -> None:
        for item in chunk:
            item.done(item.value.upper())

    @app.job(encrypt=True)
    async def walked(ctx: Context, cards: list[str]) -> AsyncIterator[str]:
        for card in cards:
            yield card

    @app.job
    async def opened(account: Account, note: str) -> Secret[str]:
        return f"{account.pin} {note}"

    @app.job(max_attempts=1)
    async def refused(account: Account | None = None) -> None:
        raise ValueError(f"no {account!r}")

    async with app:
        chunked = await gathered.enqueue(CANARY)
        await walked.enqueue([CANARY, CANARY])
        model = await opened.enqueue(Account(name="ann", pin=CANARY), "note")
        failed = await refused.enqueue(Account(name="ann", pin=CANARY))
        await app.drain()
        assert await chunked.result(5) == CANARY.upper()
        assert await model.result(5) == f"{CANARY} note"
        assert (await app.jobs.get(model.id)).args["note"] == "note"
        job = await app.jobs.get(failed.id)
        assert job.error is not None
        assert "***" in job.error.message
        assert CORE not in raw_bytes(place)


async def test_a_retry_keeps_the_arguments_and_spares_nothing(place: Place) -> None:
    app = Windlass(place.url, namespace=place.namespace, encryption=Keys({"one": FIRST}))
    seen: list[Any] = []

    @app.job(encrypt=True, max_attempts=3)
    async def flaky(card: str) -> str:
        seen.append(card)
        if len(seen) < 2:
            raise ConnectionError(f"cannot reach the bank of {card}")
        return card

    async with app:
        ref = await flaky.enqueue(CANARY)
        await app.drain()
        assert (await app.jobs.get(ref.id)).state is State.RETRYING
        assert await app.jobs.run_now(ref.id) == 1
        await app.drain()
        assert await ref.result(5) == CANARY
        assert seen == [CANARY, CANARY]
        assert CORE not in raw_bytes(place)


async def test_a_move_to_another_engine_carries_ciphertexts(tmp_path: Path) -> None:
    from windlass.store import open_store
    from windlass.store.moving import move

    source = f"sqlite:///{tmp_path / 'a.db'}"
    target = f"sqlite:///{tmp_path / 'b.db'}"
    app = make_app(Place(source, "windlass", crosses_processes=True))
    async with app:
        ref = await app.kind("pay").enqueue(CANARY)
    one, two = open_store(source, "windlass"), open_store(target, "windlass")
    await one.open()
    await two.open()
    await move(one, two)
    await one.close()
    await two.close()
    moved = make_app(Place(target, "windlass", crosses_processes=True))
    async with moved:
        await moved.drain()
        assert await moved.result_of(ref.id) == {"paid": CANARY}
