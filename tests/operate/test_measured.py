"""What a child process took: CPU and memory of each job by itself, and costs that outlive the child."""

import sys
from decimal import Decimal

import pytest

from tests.operate import heavy
from windlass import Windlass
from windlass.values.states import State

MEBIBYTE = 1 << 20


@pytest.fixture
def app(app: Windlass) -> Windlass:
    app.handlers.update(heavy.app.handlers)
    return app


async def test_memory_and_cpu_of_each_job(app: Windlass) -> None:
    async with app:
        (large,) = await app.enqueue_many([heavy.takes.options(user="ada").job(200)])
        assert await app.worker(processes=1).run(until_idle=True) == 1
        found = (await app.metrics(last="1h")).total
        assert found.measured == 1 and found.average_memory is not None
        assert 200 * MEBIBYTE < found.average_memory < 600 * MEBIBYTE
        assert found.cpu > 0.005 and found.run is not None
        gigabytes = Decimal(found.average_memory) / 1_000_000_000
        expected = Decimal("0.25") + gigabytes * Decimal(str(found.run.average))
        cost = (await large.job()).cost
        assert abs(cost - expected) < Decimal("0.00001") + expected / 100
        assert (await app.metrics(user="ada", last="1h")).total.average_memory == found.average_memory
        assert found.cost == cost


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel's peak cannot be set back")
async def test_a_small_job_after_a_large_one_is_small(app: Windlass) -> None:
    async with app:
        for user, megabytes in (("large", 200), ("small", 1)):
            await app.enqueue_many([heavy.takes.options(user=user).job(megabytes)])
        assert await app.worker(processes=1).run(until_idle=True) == 2
        peaks = {each.user: each.average_memory or 0 for each in await app.users(last="1h")}
        assert peaks["small"] < peaks["large"] - 100 * MEBIBYTE


async def test_what_a_dying_child_reported_is_charged(app: Windlass) -> None:
    async with app:
        (ref,) = await app.enqueue_many([heavy.dies.job()])
        assert await app.worker(processes=1).run(until_idle=True) == 1
        job = await ref.job()
        assert (job.state, job.cost) == (State.FAILED, Decimal("0.51"))
