"""The doctor's findings about workers, told from a store whose clock stands still."""

from pathlib import Path

from tests.store.kit import T0, Hand, new, put
from windlass.cli.checkup import _examine
from windlass.cli.target import Target
from windlass.store import open_store
from windlass.values.limit import Bound
from windlass.values.metrics import MINUTE


async def codes(url: str) -> list[str]:
    return [finding.code for finding in (await _examine(Target(url, None, None))).findings]


async def test_a_worker_whose_jobs_only_wait_for_a_limit_is_not_stuck(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
    store = open_store(url, "windlass")
    await store.open()
    try:
        await store.hold_time(T0)
        worker = Hand(store)
        await put(store, *(new(limits=(Bound("one", 1),)) for _ in range(3)))
        running = await worker.one()
        assert await worker.take() == []
        await store.hold_time(T0 + 5 * MINUTE)
        await worker.beat(running, running=1)
        assert "stuck-worker" not in await codes(url)
        await worker.complete(running)
        await worker.beat()
        assert "stuck-worker" in await codes(url)
        assert await worker.one()
        assert "stuck-worker" not in await codes(url)
    finally:
        await store.close()
