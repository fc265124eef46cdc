"""References and results: typed values, the three ways a result is refused, and many waiters at once."""

import asyncio
import pickle
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import pydantic
import pytest

from tests.waiting import until
from windlass import (
    Cancel,
    Context,
    Fail,
    JobCancelled,
    JobFailed,
    JobNotFound,
    JobRef,
    ResultTimeout,
    Windlass,
    WindlassError,
)


@dataclass
class Receipt:
    at: datetime
    lines: list[tuple[str, int]]


async def test_results_have_the_type_of_the_handler(app: Windlass) -> None:
    receipt = Receipt(datetime(2030, 1, 1, tzinfo=UTC), [("a", 1)])

    @app.job
    async def buy() -> Receipt:
        return receipt

    @app.job
    async def nothing() -> None: ...

    @app.job
    async def liar() -> int:
        return "three"  # type: ignore[return-value]

    async with app:
        bought, empty, lied = await buy.enqueue(), await nothing.enqueue(), await liar.enqueue()
        await app.drain()
        assert await bought.result(timeout=5) == receipt
        assert await empty.result(timeout=5) is None
        assert await lied.result(timeout=5) == "three"


async def test_a_nonsense_id_is_refused_and_others_go_on_waiting(app: Windlass) -> None:
    @app.job
    async def fine() -> int:
        return 1

    async with app:
        ref = await fine.enqueue()
        waiting = asyncio.create_task(ref.result(timeout=10))
        await asyncio.sleep(0)
        with pytest.raises(JobNotFound):
            await app.ref("\ud800").result(timeout=5)
        await app.drain()
        assert await waiting == 1


async def test_failed_and_cancelled_jobs_raise_what_happened(app: Windlass) -> None:
    @app.job(max_attempts=1)
    async def boom() -> None:
        raise ValueError("bang\x00")

    @app.job
    async def dead(ctx: Context) -> None:
        raise Fail("no such account")

    @app.job
    async def stopped() -> None:
        raise Cancel("not wanted")

    async with app:
        refs = [await boom.enqueue(), await dead.enqueue(), await stopped.enqueue()]
        await app.drain()
        with pytest.raises(JobFailed, match="ValueError: bang") as failed:
            await refs[0].result(timeout=5)
        assert failed.value.error["type"] == "ValueError"
        assert "raise ValueError" in failed.value.error["traceback"]
        assert (failed.value.id, failed.value.kind) == (refs[0].id, "boom")
        with pytest.raises(JobFailed, match="no such account"):
            await refs[1].result(timeout=5)
        with pytest.raises(JobCancelled, match="not wanted") as cancelled:
            await refs[2].result(timeout=5)
        assert cancelled.value.reason == "not wanted"


async def test_results_that_cannot_be_stored_fail_the_job_by_name(app: Windlass) -> None:
    @app.job(max_attempts=1)
    async def nan() -> dict[str, float]:
        return {"x": float("nan")}

    @app.job(max_attempts=1)
    async def thing() -> Any:
        return {"x": object()}

    async with app:
        refs = [await nan.enqueue(), await thing.enqueue()]
        await app.drain()
        with pytest.raises(JobFailed, match=r"result\.x is nan"):
            await refs[0].result(timeout=5)
        with pytest.raises(JobFailed, match=r"result\.x is a object"):
            await refs[1].result(timeout=5)


async def test_waiting_has_an_end(app: Windlass) -> None:
    @app.job
    async def f() -> None: ...

    async with app:
        ref = await f.options(delay="1h").enqueue()
        with pytest.raises(ResultTimeout) as late:
            await ref.result(timeout="10ms")
        assert isinstance(late.value, TimeoutError)
        assert (late.value.id, late.value.timeout, late.value.state) == (ref.id, 0.01, "delayed")
        with pytest.raises(JobNotFound):
            await app.ref("nobody").result(timeout=0.01)


async def test_a_job_deleted_while_awaited(app: Windlass) -> None:
    @app.job
    async def f() -> None: ...

    async with app:
        ref = await f.options(delay="1h").enqueue()
        waiting = asyncio.ensure_future(ref.result(timeout=60))
        await asyncio.sleep(0)
        assert await app.jobs.delete(ref.id) == 1
        with pytest.raises(JobNotFound):
            await waiting


async def test_many_wait_while_a_worker_runs(app: Windlass) -> None:
    @app.job
    async def square(n: int) -> int:
        return n * n

    async with app:
        worker = app.worker()
        running = asyncio.ensure_future(worker.run())
        refs = await asyncio.gather(*[square.enqueue(n) for n in range(500)])
        results = await asyncio.gather(*[ref.result(timeout=30) for ref in refs], refs[0].result(timeout=30))
        assert results == [n * n for n in range(500)] + [0]
        await worker.stop()
        await running


async def test_a_waiter_that_gives_up_leaves_the_others(app: Windlass) -> None:
    @app.job
    async def f() -> int:
        return 1

    async with app:
        ref = await f.enqueue()
        first = asyncio.ensure_future(ref.result())
        second = asyncio.ensure_future(ref.result(timeout=10))
        await asyncio.sleep(0)
        first.cancel()
        await app.drain()
        assert await second == 1
        with pytest.raises(asyncio.CancelledError):
            await first
        watcher = (await app.stores.here()).watcher
        await until(lambda: watcher._task is None, "the watcher to rest")  # pyright: ignore[reportPrivateUsage]


async def test_a_reference_is_a_value(app: Windlass) -> None:
    @app.job
    async def f() -> int:
        return 1

    class Answer(pydantic.BaseModel):
        ref: JobRef[Any]

    async with app:
        ref = await f.enqueue()
        text = msgspec.json.encode(ref)
        assert msgspec.json.decode(text) == {"id": ref.id, "kind": "f", "created": True}
        travelled = msgspec.json.decode(text, type=JobRef[int])
        assert travelled == ref == pickle.loads(pickle.dumps(ref))
        assert Answer(ref=ref).model_dump(mode="json") == {"ref": {"id": ref.id, "kind": "f", "created": True}}
        assert Answer.model_validate_json(Answer(ref=ref).model_dump_json()).ref == ref
        assert Answer.model_json_schema()
        with pytest.raises(WindlassError, match="belongs to no app"):
            await travelled.result(timeout=1)
        await app.drain()
        assert await app.ref(travelled).result(timeout=5) == 1
        assert await app.ref(ref.id).result(timeout=5) == 1
        assert await ref.cancel() is False
