"""Encrypted kinds and secret arguments do everything that plain ones do, on every engine."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from tests.secrecy.kit import CANARY, FIRST, SECOND, make_app
from tests.store.kit import Place
from windlass import Limit, Windlass, result_of
from windlass.errors import EncryptionKeyMissing, JobFailed
from windlass.secrecy import Keys, Secret
from windlass.testing import run, sandbox
from windlass.values.query import Record
from windlass.values.states import State


async def test_handlers_get_plain_values_and_results_come_back(place: Place) -> None:
    app = make_app(place)
    async with app:
        paid = await app.kind("pay").enqueue(CANARY)
        logged = await app.kind("login").enqueue("bob", CANARY)
        threaded = await app.kind("threaded").enqueue(CANARY)
        await app.drain()
        assert await paid.result(5) == {"paid": CANARY}
        assert await logged.result(5) == "bob"
        assert await threaded.result(5) == CANARY
        job = await app.jobs.get(logged.id)
        assert job.args["user"] == "bob"
        assert set(job.args["password"]) == {"$sealed"}


async def test_an_error_is_told_to_who_has_the_key(place: Place) -> None:
    app = make_app(place)
    async with app:
        ref = await app.kind("pay").enqueue(CANARY, fail=True)
        await app.drain()
        job = await app.jobs.get(ref.id)
        assert job.error is not None
        assert (job.error.type, job.error.message) == ("ValueError", "[encrypted]")
        with pytest.raises(JobFailed, match="declined: canary"):
            await ref.result(5)
        shown = await app.jobs.reveal(ref.id, actor="ann")
        assert shown.job.error is not None
        assert f"declined: {CANARY}" in shown.job.error.traceback
        assert shown.job.args == {"card": CANARY, "fail": True}
        assert shown.log[0].text == f"paying with {CANARY}"
        assert CANARY not in repr(shown)
        assert [(seen.id, seen.actor) for seen in await app.secrecy.reveals()] == [(ref.id, "ann")]


async def test_requeue_and_retry_keep_the_arguments(place: Place) -> None:
    app = make_app(place)
    async with app:
        ref = await app.kind("pay").enqueue(CANARY, fail=True)
        await app.drain()
        assert await app.jobs.requeue(ids=[ref.id]) == 1
        await app.drain()
        job = await app.jobs.reveal(ref.id)
        assert job.job.state is State.FAILED
        assert job.job.args == {"card": CANARY, "fail": True}


async def test_results_go_from_parents_to_children(place: Place) -> None:
    app = make_app(place)
    async with app:
        parent = app.kind("threaded").job(CANARY)
        child = app.kind("threaded").job(result_of(parent))
        plain = app.kind("length").job(result_of(parent))
        refs = await app.enqueue_many([parent, child, plain])
        await app.drain()
        assert await refs[1].result(5) == CANARY
        assert await refs[2].result(5) == len(CANARY)


async def test_steps_and_signals_are_sealed_and_heard(place: Place) -> None:
    app = make_app(place)
    async with app:
        ref = await app.kind("durable").enqueue(CANARY)
        await app.drain()
        assert (await app.jobs.get(ref.id)).state is State.BLOCKED
        await app.jobs.signal(ref.id, "approved", {"pin": CANARY})
        await app.drain()
        assert await ref.result(5) == f"charged {CANARY} {CANARY}"
        for step in await (await app.store()).steps(ref.id):
            assert step.value is not None
            assert "canary" not in step.value
        steps = (await app.jobs.reveal(ref.id)).steps
        assert [step.result for step in steps] == [f"charged {CANARY}", {"pin": CANARY}]


async def test_keys_of_jobs_are_made_of_keyed_hashes(place: Place) -> None:
    app = make_app(place)
    app.kind("single")
    other = make_app(place, Keys({"two": SECOND}))
    async with app:
        first = await app.kind("single").enqueue(CANARY)
        again = await app.kind("single").enqueue(CANARY)
        assert again.id == first.id
        assert (await app.jobs.get(first.id)).unique != other.kind("single").job(CANARY).unique
        rotated = make_app(place, Keys({"two": SECOND, "one": FIRST}))
        behind = make_app(place, Keys({"one": FIRST, "two": SECOND})).kind("single").job(CANARY).unique
        kept = rotated.kind("single").job(CANARY).unique
        assert kept is not None
        assert behind == kept
        assert kept.key == (await app.jobs.get(first.id)).unique


async def test_a_limit_by_a_secret_does_not_tell_it(place: Place) -> None:
    app = make_app(place)

    @app.job(limits=[Limit(by="token", concurrency=1)])
    async def call(token: Secret[str]) -> int:
        return len(token)

    bounds = call.job(CANARY).limits
    assert len(bounds) == 1
    assert "canary" not in bounds[0].key
    assert bounds[0].key == call.job(CANARY).limits[0].key != call.job("other").limits[0].key
    async with app:
        ref = await call.enqueue(CANARY)
        await app.drain()
        assert await ref.result(5) == len(CANARY)


async def test_a_replacement_may_stand_in_anothers_place(place: Place) -> None:
    app = make_app(place)
    async with app:
        first = await app.kind("replaced").enqueue(CANARY, "old")
        second = await app.kind("replaced").enqueue(CANARY, "new")
        assert second.id == first.id
        await app.drain()
        assert await first.result(5) == f"{CANARY} new"


async def test_the_cache_answers_with_a_result_of_the_new_jobs_own(place: Place) -> None:
    app = make_app(place)
    async with app:
        first = await app.kind("looked_up").enqueue(CANARY)
        await app.drain()

        async def kept() -> list[Record]:
            return await (await app.store()).records("cache:looked_up")

        records = await kept()
        while not records:
            records = await kept()
        assert "canary" not in repr(records)
        second = await app.kind("looked_up").enqueue(CANARY)
        assert second.id != first.id
        assert await second.result(5) == f"about {CANARY}"
        assert (await app.jobs.get(second.id)).cached == first.id


async def test_schedules_make_jobs_of_their_own(place: Place) -> None:
    app = make_app(place)
    async with app:
        at = datetime.now(UTC) + timedelta(days=300)
        await app.schedules.put("later", app.kind("pay").job(CANARY), at=at)
        assert "canary" not in (await (await app.store()).schedules())[0].spec
        assert (await app.schedules.get("later")).args == {"$sealed": "[encrypted]"}
        ref = await app.schedules.trigger("later")
        await app.drain()
        assert await ref.result(5) == {"paid": CANARY}


async def test_a_producer_without_the_code_encrypts(shared_place: Place) -> None:
    app = make_app(shared_place)
    async with app:
        await app.publish_kinds()
        far = Windlass(shared_place.url, namespace=shared_place.namespace, encryption=Keys({"one": FIRST}))
        bare = Windlass(shared_place.url, namespace=shared_place.namespace)
        async with far, bare:
            whole = await far.enqueue("pay", card=CANARY)
            part = await far.enqueue("login", user="bob", password=CANARY)
            assert set((await far.jobs.get(whole.id)).args) == {"$sealed"}
            assert "canary" not in repr(await far.jobs.get(part.id))
            with pytest.raises(EncryptionKeyMissing, match="this process has no encryption key"):
                await bare.enqueue("pay", card=CANARY)
        await app.drain()
        assert await whole.result(5) == {"paid": CANARY}
        assert await part.result(5) == "bob"


async def test_a_worker_without_the_key_fails_the_job_for_good_and_it_can_be_brought_back(shared_place: Place) -> None:
    app = make_app(shared_place)
    wrong = make_app(shared_place, Keys({"two": SECOND}))
    async with app, wrong:
        ref = await app.kind("pay").enqueue(CANARY)
        await wrong.drain()
        job = await app.jobs.get(ref.id)
        assert job.state is State.FAILED
        assert job.error is not None
        assert job.error.type == "EncryptionKeyMissing"
        assert "'one'" in job.error.message
        assert await app.jobs.requeue(ids=[ref.id]) == 1
        await app.drain()
        assert await ref.result(5) == {"paid": CANARY}


async def test_rotation_reads_the_old_key_and_writes_the_new_one(shared_place: Place) -> None:
    app = make_app(shared_place)
    rotated = make_app(shared_place, Keys({"two": SECOND, "one": FIRST}))
    async with app, rotated:
        old = await app.kind("pay").enqueue(CANARY)
        await rotated.kind("pay").enqueue(CANARY)
        assert (await rotated.secrecy.standing()).live == {"one": 1, "two": 1}
        await rotated.drain()
        standing = await rotated.secrecy.standing()
        assert standing.live == {}
        assert standing.ended == {"one": 1, "two": 2}
        assert await rotated.result_of(old.id) == {"paid": CANARY}
        assert (await app.secrecy.standing()).unreadable == ("two",)


async def test_the_bench_and_the_sandbox_show_plain_values() -> None:
    app = Windlass("sqlite://:memory:", encryption=Keys({"one": FIRST}))

    @app.job(encrypt=True)
    async def pay(card: str) -> str:
        return card

    assert (await run(pay, CANARY)).result == CANARY
    async with sandbox(app) as box:
        await pay.enqueue(CANARY)
        box.assert_enqueued(pay, card=CANARY)
        assert await box.drain() == 1


def test_a_kind_that_keeps_no_secret_is_stored_as_before() -> None:
    app = Windlass("sqlite://:memory:", encryption=Keys({"one": FIRST}))

    @app.job
    async def add(a: int, b: int) -> int:
        return a + b

    assert msgspec.json.decode(add.job(1, b=2).args) == {"a": 1, "b": 2}
    assert add.veil is None
