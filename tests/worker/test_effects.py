"""Effects in real workers: once for each key, fenced, held where nobody knows; by both doors and in every runtime."""

import asyncio
import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.secrecy.kit import FIRST
from tests.waiting import until
from tests.worker.kit import ended, lines, working
from windlass.app import Windlass
from windlass.errors import EffectNotFound, InvalidOption, StoreUnavailable
from windlass.running.chunk import Chunk
from windlass.running.context import Context
from windlass.running.effects import OPEN, SPACE, digest
from windlass.secrecy.ring import Keys
from windlass.values.query import Swap
from windlass.values.retry import fixed


class World:
    """What is outside: counts what was done to it."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.fail: list[Exception] = []

    async def act(self, what: str) -> str:
        self.done[what] += 1
        if self.fail:
            raise self.fail.pop(0)
        return f"{what} number {self.done[what]}"


async def test_done_once_for_a_key_however_many_jobs(app: Windlass) -> None:
    world = World()

    @app.job(kind="charge", max_attempts=3)
    async def charge(ctx: Context, order: str, amount: int = 5) -> Any:
        async with ctx.effect("charge", order, {"amount": amount}) as effect:
            if effect.done:
                return effect.result
            await effect.sending()
            return await effect.finish({"ref": await world.act(order)})

    async with app, working(app):
        first = await (await charge.enqueue("a")).result("10s")
        again = await (await charge.enqueue("a")).result("10s")
        other = await (await charge.enqueue("b")).result("10s")
        assert first == again == {"ref": "a number 1"} and other == {"ref": "b number 1"}
        changed = await ended(app, (await charge.enqueue("a", amount=6)).id)
        assert changed.state == "failed" and changed.error is not None
        assert (changed.error.type, changed.error.category, changed.attempt) == ("EffectMismatch", "permanent", 1)
        info = await app.effects.get("charge/a")
        assert (info.state, info.sends, info.result) == ("done", 1, {"ref": "a number 1"})
        assert await app.effects.list(running=True) == []
        assert world.done == {"a": 1, "b": 1}


async def test_an_error_after_sending_is_held_at_once_and_resolved(app: Windlass) -> None:
    world = World()
    world.fail = [TimeoutError("the answer never came")]

    @app.job(kind="pay", max_attempts=5, backoff=fixed("10ms"), errors={Exception: "temporary"})
    async def pay(ctx: Context, order: str) -> Any:
        async with ctx.effect("pay", order) as effect:
            if effect.done:
                return effect.result
            await effect.sending()
            return await effect.finish(await world.act(order))

    async with app, working(app):
        ref = await pay.enqueue("a")
        job = await ended(app, ref.id)
        assert (job.state, job.attempt) == ("failed", 1)
        assert job.error is not None and (job.error.type, job.error.category) == ("OutcomeUnknown", "held")
        assert job.reason is not None and "the answer never came" in job.reason and "pay/a" in job.reason
        [held] = await app.effects.list()
        assert (held.effect, held.state, held.job, held.sends) == ("pay/a", "held", ref.id, 1)
        # A retry without a decision changes nothing.
        await app.jobs.requeue(ids=[ref.id])
        assert (await ended(app, ref.id)).state == "failed"
        assert world.done["a"] == 1
        told = await app.effects.resolve("pay/a", "done", actor="ann", result="paid", note="seen in the bank's list")
        assert [(act.actor, act.did, act.note) for act in told.acts] == [("ann", "done", "seen in the bank's list")]
        with pytest.raises(InvalidOption, match="this one is done"):
            await app.effects.resolve("pay/a", "resend", actor="bob")
        await app.jobs.requeue(ids=[ref.id])
        assert await ref.result("10s") == "paid"
        assert world.done["a"] == 1 and await app.effects.list() == []


async def test_resend_by_decision(app: Windlass) -> None:
    world = World()
    world.fail = [OSError("cut")]

    @app.job(kind="pay2", max_attempts=1)
    async def pay2(ctx: Context) -> Any:
        async with ctx.effect("pay", 7) as effect:
            await effect.sending()
            return await effect.finish(await world.act("7"))

    async with app, working(app):
        ref = await pay2.enqueue()
        await ended(app, ref.id)
        with pytest.raises(InvalidOption, match=r"done\|resend"):
            await app.effects.resolve("pay/7", "perhaps")  # type: ignore[arg-type]
        with pytest.raises(EffectNotFound):
            await app.effects.resolve("pay/8", "done")
        info = await app.effects.resolve("pay/7", "resend", actor="ann")
        assert info.state == "prepared"
        await app.jobs.requeue(ids=[ref.id])
        assert await ref.result("10s") == "7 number 2"
        assert (await app.effects.get("pay/7")).acts[0].actor == "ann"


async def test_refused_is_sent_anew_without_doubt(app: Windlass) -> None:
    world = World()
    world.fail = [ConnectionRefusedError("not now")]

    @app.job(kind="refused", max_attempts=3, backoff=fixed("10ms"))
    async def refused(ctx: Context) -> Any:
        async with ctx.effect("refused", "a") as effect:
            await effect.sending()
            try:
                return await effect.finish(await world.act("a"))
            except ConnectionRefusedError as error:
                await effect.refused(str(error))
                raise

    async with app, working(app):
        assert await (await refused.enqueue()).result("10s") == "a number 2"
        assert (await app.effects.get("refused/a")).sends == 2


async def test_lookup_finds_or_sends_again(app: Windlass) -> None:
    world = World()
    asked: list[Any] = []

    @app.job(kind="post", max_attempts=3, backoff=fixed("10ms"))
    async def post(ctx: Context, text: str, arrives: bool) -> Any:
        async def find(prepared: Any) -> Any:
            asked.append(prepared)
            return {"id": "found"} if arrives else None

        async with ctx.effect("post", text, in_doubt="lookup", lookup=find) as effect:
            if effect.done:
                return effect.result
            assert not effect.in_doubt
            await effect.prepare({"text": text})
            await effect.sending()
            if effect.sends == 0:
                raise TimeoutError("no answer")
            return await effect.finish({"id": await world.act(text)})

    async with app, working(app):
        assert await (await post.enqueue("a", True)).result("10s") == {"id": "found"}
        assert await (await post.enqueue("b", False)).result("10s") == {"id": "b number 1"}
        assert asked == [{"text": "a"}, {"text": "b"}]
        assert (await app.effects.get("post/a")).result == {"id": "found"}


async def test_rebroadcast_sends_what_was_prepared(app: Windlass) -> None:
    sent: list[Any] = []

    @app.job(kind="transfer", max_attempts=3, backoff=fixed("10ms"))
    async def transfer(ctx: Context) -> Any:
        async with ctx.effect("transfer", "a", in_doubt="rebroadcast") as effect:
            raw = effect.prepared or await effect.prepare({"raw": f"signed {ctx.attempt}"})
            await effect.sending()
            sent.append(raw)
            if len(sent) == 1:
                raise TimeoutError("no answer")
            assert effect.in_doubt
            return await effect.finish(raw)

    @app.job(kind="changes-its-mind", max_attempts=2, backoff=fixed("10ms"))
    async def changes(ctx: Context) -> Any:
        async with ctx.effect("transfer", "b", in_doubt="rebroadcast") as effect:
            await effect.prepare(ctx.attempt)
            await effect.sending()
            raise TimeoutError("no answer")

    async with app, working(app):
        assert await (await transfer.enqueue()).result("10s") == {"raw": "signed 1"}
        assert sent == [{"raw": "signed 1"}] * 2
        job = await ended(app, (await changes.enqueue()).id)
        assert job.error is not None and job.error.type == "InvalidStep"
        [info] = await app.effects.list()
        assert (info.state, info.prepared, info.in_doubt) == ("doubtful", 1, "rebroadcast")


async def test_two_jobs_at_once_have_one_effect(app: Windlass) -> None:
    world = World()
    go = asyncio.Event()
    began: list[str] = []

    @app.job(kind="slow")
    async def slow(ctx: Context) -> Any:
        async with ctx.effect("slow", "a") as effect:
            if effect.done:
                return effect.result
            await effect.sending()
            began.append(ctx.id)
            await go.wait()
            return await effect.finish(await world.act("a"))

    async with app, working(app):
        one = await slow.enqueue()
        await until(lambda: began, "the first to send")
        [being] = await app.effects.list(running=True)
        assert (being.state, being.job) == ("sending", one.id) and await app.effects.list() == []
        with pytest.raises(InvalidOption, match="this one is sending"):
            await app.effects.resolve("slow/a", "done")
        two = await slow.enqueue()

        async def is_put_off() -> bool:
            job = await app.jobs.get(two.id)
            return job.state == "delayed"

        await until(is_put_off, "the second to wait for the first")
        go.set()
        await one.result("10s")
        await app.jobs.run_now(two.id)
        assert await two.result("10s") == "a number 1"
        assert began == [one.id]


async def test_who_lost_its_lease_cannot_write(app: Windlass) -> None:
    seen: list[str] = []

    @app.job(kind="fenced", max_attempts=2, backoff=fixed("10ms"))
    async def fenced(ctx: Context) -> Any:
        async with ctx.effect("fenced", "a", in_doubt="resend") as effect:
            await effect.sending()
            if ctx.attempt == 1:
                store = await app.store()
                [record] = await store.records(SPACE, ["fenced/a"])
                assert record.text is not None
                text = record.text.replace(f'"lease":{ctx.lease}', '"lease":999999')
                await store.exchange([Swap(space=SPACE, key="fenced/a", text=text)])
            try:
                return await effect.finish(f"attempt {ctx.attempt}")
            except Exception as error:
                seen.append(type(error).__name__)
                raise

    async with app, working(app):
        assert await (await fenced.enqueue()).result("10s") == "attempt 2"
        assert seen == ["LeaseLost"]


async def test_sent_and_forgotten_is_an_error(app: Windlass) -> None:
    @app.job(kind="forgets", max_attempts=3)
    async def forgets(ctx: Context) -> None:
        async with ctx.effect("forgets", "a", in_doubt="resend") as effect:
            await effect.sending()

    @app.job(kind="twice", max_attempts=3)
    async def twice(ctx: Context) -> None:
        async with ctx.effect("twice", "a") as effect:
            await effect.finish()
            await effect.sending()

    async with app, working(app):
        for handler, text in ((forgets, "neither finished nor refused"), (twice, "is done and cannot be")):
            job = await ended(app, (await handler.enqueue()).id)
            assert job.error is not None and job.error.type == "InvalidStep" and text in job.error.message


async def test_epoch_is_a_second_execution(app: Windlass) -> None:
    world = World()

    @app.job(kind="epochs")
    async def epochs(ctx: Context, epoch: int) -> Any:
        async with ctx.effect("epochs", "a", epoch=epoch) as effect:
            return effect.result if effect.done else await effect.finish(await world.act("a"))

    async with app, working(app):
        assert [await (await epochs.enqueue(n)).result("10s") for n in (1, 2, 2, 1)] == [
            "a number 1", "a number 2", "a number 2", "a number 1"
        ]  # fmt: skip
        assert (await app.effects.get("epochs/a#2")).epoch == 2


def test_what_cannot_be_asked() -> None:
    ctx = Context.detached()
    for bad, match in (
        ({"in_doubt": "perhaps"}, "in_doubt"),
        ({"in_doubt": "lookup"}, "lookup"),
        ({"lookup": lambda _: None}, "lookup"),
        ({"epoch": 0}, "epoch"),
        ({"keep": "1s"}, "keep"),
        ({"name": "two words"}, "effect"),
        ({"key": ""}, "key"),
        ({"key": "a\nb"}, "key"),
        ({"key": "x" * 301}, "key"),
        ({"key": 1.5}, "key"),
    ):
        with pytest.raises(InvalidOption, match=match):
            ctx.effect(**({"name": "a", "key": "b"} | bad))  # type: ignore[arg-type]


async def test_a_context_without_a_store_remembers_too() -> None:
    ctx = Context.detached()
    async with ctx.effect("a", "b") as effect:
        assert not effect.done and await effect.finish((1, 2)) == [1, 2]
    async with ctx.effect("a", "b") as effect:
        assert effect.done and effect.result == [1, 2]


async def test_in_threads(app: Windlass) -> None:
    calls: list[int] = []

    @app.job(kind="threaded", max_attempts=3, backoff=fixed("10ms"))
    def threaded(ctx: Context, key: str) -> Any:
        with ctx.sync.effect("threaded", key, in_doubt="lookup", lookup=lambda prepared: prepared) as effect:
            if effect.done:
                return [effect.result, effect.sends, effect.prepared, effect.in_doubt, effect.place]
            effect.prepare("data")
            effect.refused("not yet")
            effect.sending()
            calls.append(ctx.attempt)
            raise TimeoutError("no answer")

    @app.job(kind="wrong-door", max_attempts=3)
    def wrong(ctx: Context) -> None:
        ctx.effect("a", "b")

    @app.job(kind="wrong-lookup", max_attempts=2, backoff=fixed("10ms"))
    def wrong_lookup(ctx: Context) -> None:
        async def find(prepared: Any) -> None: ...

        with ctx.sync.effect("wrong", "b", in_doubt="lookup", lookup=find) as effect:
            effect.sending()
            raise TimeoutError

    async with app, working(app):
        assert await (await threaded.enqueue("a")).result("10s") == ["data", 1, "data", False, "threaded/a"]
        assert calls == [1]
        for handler, text in ((wrong, "ctx.sync.effect"), (wrong_lookup, "make it a def")):
            job = await ended(app, (await handler.enqueue()).id)
            assert job.error is not None and job.error.type == "InvalidStep" and text in job.error.message


async def test_a_line_that_outlived_its_effect_is_taken_out(app: Windlass) -> None:
    async with app:
        store = await app.store()
        await store.exchange([Swap(space=OPEN, key="gone/a", text="1")])
        assert await app.effects.list() == []
        assert await store.records(OPEN) == []


async def test_the_log_tells_of_doubt(app: Windlass) -> None:
    @app.job(kind="tells", max_attempts=2, backoff=fixed("10ms"))
    async def tells(ctx: Context) -> Any:
        async with ctx.effect("tells", "a", in_doubt="resend") as effect:
            await effect.sending()
            if not effect.in_doubt:
                raise TimeoutError
            return await effect.finish()

    async with app, working(app):
        ref = await tells.enqueue()
        await ended(app, ref.id)
        assert ("warning", "the effect tells/a was sent before, with an unknown outcome: resend") in await lines(
            app, ref.id
        )


async def test_of_an_encrypted_kind_nothing_is_to_be_read(app: Windlass) -> None:
    app = Windlass(app.url, namespace=app.namespace, encryption=Keys({"one": FIRST}))

    @app.job(kind="veiled", encrypt=True, max_attempts=3, backoff=fixed("10ms"))
    async def veiled(ctx: Context, order: str, request: str) -> Any:
        async with ctx.effect("veiled", order, {"card": request}, in_doubt="resend") as effect:
            if effect.done:
                return [effect.result, effect.prepared]
            await effect.prepare({"card": "4111-prepared"})
            await effect.sending()
            if not effect.in_doubt:
                raise TimeoutError("cut")
            assert effect.prepared == {"card": "4111-prepared"}
            return await effect.finish({"receipt": "4111-receipt"})

    async with app, working(app):
        assert await (await veiled.enqueue("a", "4111-request")).result("10s") == {"receipt": "4111-receipt"}
        again = await (await veiled.enqueue("a", "4111-request")).result("10s")
        assert again == [{"receipt": "4111-receipt"}, {"card": "4111-prepared"}]
        other = await ended(app, (await veiled.enqueue("a", "4111-other")).id)
        assert other.error is not None and other.error.type == "EffectMismatch"
        [record] = await (await app.store()).records(SPACE)
        assert record.text is not None and "4111" not in record.text
        assert digest({"card": "4111-request"}) not in record.text  # a guess cannot be checked without the key
        info = await app.effects.get("veiled/a")
        assert "4111" not in str(info) and info.state == "done"


async def test_in_a_process(app: Windlass, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.worker import effectful

    app.handlers["hold-in-process"] = effectful.hold_in_process
    monkeypatch.setenv("EFFECTS", str(tmp_path / "effects"))
    async with app, working(app, processes=1):
        ref = await app.submit(effectful.hold_in_process.job("from-a-child"))
        again = await app.submit(effectful.hold_in_process.job("from-a-child"))
        job, other = await ended(app, ref.id, 60), await ended(app, again.id, 60)
        assert job.state == other.state == "completed" and job.result == other.result
        assert (await app.effects.get("hold/from-a-child")).result == job.result


async def test_deciding_is_audited(app: Windlass) -> None:
    @app.job(kind="audited", max_attempts=1)
    async def audited(ctx: Context) -> None:
        async with ctx.effect("audited", "a") as effect:
            await effect.sending()
            raise TimeoutError

    async with app, working(app):
        await ended(app, (await audited.enqueue()).id)
        await app.effects.resolve("audited/a", "done", actor="ann", note="seen")
        [act] = (await app.audit(target="effect:audited/a")).items
        assert (act.actor, act.action, act.detail) == ("ann", "resolve", {"outcome": "done", "note": "seen"})


async def test_in_generators_and_in_chunks(app: Windlass) -> None:
    world = World()

    @app.job(kind="rows")
    async def rows(ctx: Context) -> Any:
        for n in range(ctx.cursor or 0, 3):
            async with ctx.effect("rows", n) as effect:
                if not effect.done:
                    await effect.sending()
                    await effect.finish(await world.act(str(n)))
            yield n + 1

    @app.job(kind="pushed", chunk=5, chunk_wait="50ms")
    async def pushed(chunk: Chunk[int, Any]) -> None:
        for item in chunk:
            async with item.ctx.effect("pushed", item.value) as effect:
                if not effect.done:
                    await effect.sending()
                    await effect.finish(await world.act(f"push {item.value}"))
                item.done(effect.result)

    async with app, working(app):
        await (await rows.enqueue()).result("10s")
        refs = await app.enqueue_many([pushed.job(n) for n in (1, 2, 1, 3)])
        results = [await ref.result("20s") for ref in refs]
        assert results[1] == "push 2 number 1" and results[0] == results[2]
        assert world.done == {"0": 1, "1": 1, "2": 1, "push 1": 1, "push 2": 1, "push 3": 1}


async def test_a_stop_on_the_way_to_sending_leaves_no_doubt(app: Windlass) -> None:
    """A worker that leaves while it is put on record that it sends: nothing was sent, and nobody has to decide."""
    world = World()
    store_calls: list[str] = []

    @app.job(kind="leaving", max_attempts=1)
    async def leaving(ctx: Context) -> Any:
        async with ctx.effect("leaving", "a") as effect:
            if not store_calls:
                store_calls.append("first")
                task = asyncio.current_task()
                assert task is not None
                asyncio.get_running_loop().call_soon(task.cancel)
            await effect.sending()
            return await effect.finish(await world.act("a"))

    async with app:
        ref = await leaving.enqueue()
        async with working(app) as worker:
            await until(lambda: store_calls, "the handler to be there")

            async def is_settled() -> bool:
                return (await app.jobs.get(ref)).state != "active"

            await until(is_settled, "the attempt to end")
            await worker.stop()
        listed = await app.effects.list(running=True)
        assert listed == [], listed
        await app.jobs.requeue(ids=[ref])
        await app.drain()
        assert await ref.result("10s") == "a number 1"


async def test_trouble_of_the_store_is_waited_out(app: Windlass, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that are lost after the store has taken the record, and calls that it refuses for a while."""
    world = World()

    @app.job(kind="troubled", max_attempts=1)
    async def troubled(ctx: Context, n: int) -> Any:
        async with ctx.effect("troubled", n) as effect:
            await effect.prepare({"n": n})
            await effect.sending()
            return await effect.finish(await world.act(str(n)))

    async with app:
        store = await app.store()
        exchange, lost = store.exchange, itertools.cycle([True, False, False, True, True])

        async def unreliable(swaps: Any) -> Any:
            answer = await exchange(swaps)
            if any(swap.space == SPACE for swap in swaps) and next(lost):
                raise StoreUnavailable("the answer was lost")
            return answer

        monkeypatch.setattr(store, "exchange", unreliable)
        async with working(app):
            refs = await app.enqueue_many([troubled.job(n) for n in range(20)])
            assert [await ref.result("30s") for ref in refs] == [f"{n} number 1" for n in range(20)]
        assert await app.effects.list(running=True) == []
        assert set(world.done.values()) == {1}


async def test_what_one_effect_cannot_store_is_no_other_ones_fault(
    app: Windlass, monkeypatch: pytest.MonkeyPatch
) -> None:
    @app.job(kind="odd-one", max_attempts=1)
    async def odd_one(ctx: Context, n: int) -> Any:
        async with ctx.effect("odd", n) as effect:
            return await effect.finish(n)

    async with app:
        store = await app.store()
        exchange = store.exchange

        async def picky(swaps: Any) -> Any:
            if any(swap.key == "odd/3" for swap in swaps):
                raise ValueError("an engine's defect")
            return await exchange(swaps)

        monkeypatch.setattr(store, "exchange", picky)
        async with working(app):
            refs = await app.enqueue_many([odd_one.job(n) for n in range(10)])
            jobs = [await ended(app, ref.id) for ref in refs]
        assert [job.state for job in jobs] == ["failed" if n == 3 else "completed" for n in range(10)]
