"""Prices, what handlers report, measured CPU and memory: in jobs, queues, kinds, users and days, to a millionth."""

from decimal import Decimal

import pytest

from tests.store.kit import HOUR
from windlass import Context, InvalidOption, Price, Retry, Windlass, fixed
from windlass.observe.frames import DAY
from windlass.observe.users import DAYS, fold_users
from windlass.operate.retention import prune_all
from windlass.values.clock import SECOND
from windlass.values.query import Retention

START = 1_800_000_000 * SECOND // DAY * DAY


async def drain(app: Windlass) -> None:
    while await app.drain():
        pass


async def test_base_and_reports_add_up_exactly(app: Windlass) -> None:
    @app.job(queue="paid", price=Price(base="0.001"), max_attempts=3, backoff=fixed(0))
    async def paid(ctx: Context, n: int) -> None:
        ctx.cost("0.0100005")
        ctx.cost(Decimal("0.1"))
        if n % 2 and ctx.attempt == 1:
            raise Retry("once more")

    @app.job(queue="free")
    async def free() -> None: ...

    async with app:
        refs = await app.enqueue_many([paid.options(user=f"u{n % 2}").job(n) for n in range(10)])
        await free.enqueue()
        await drain(app)
        once, twice = Decimal("0.111001"), Decimal("0.222002")
        assert [(await ref.job()).cost for ref in refs] == [twice if n % 2 else once for n in range(10)]
        found = await app.metrics(last="1h")
        by_queue = {each.queue: each for each in found.queues}
        assert found.currency == "USD"
        assert by_queue["paid"].cost == found.total.cost == 5 * (once + twice)
        assert by_queue["free"].cost == 0
        assert sum(point.cost for point in found.series) == found.total.cost
        ledger = await app.users(last="1h")
        assert [(each.user, each.cost, each.completed, each.retries) for each in ledger] == [
            ("u1", 5 * twice, 5, 5),
            ("u0", 5 * once, 5, 0),
        ]
        one = await app.metrics(user="u1", last="1h")
        assert (one.total.cost, one.total.completed, one.total.retries) == (5 * twice, 5, 5)
        assert [each.queue for each in one.queues] == ["paid"]
        assert (await app.metrics(user="nobody", last="1h")).total.completed == 0


async def test_what_failed_and_was_cancelled_has_cost_too(app: Windlass) -> None:
    @app.job(price=Price(base="0.5"), max_attempts=1)
    async def fails(ctx: Context) -> None:
        ctx.cost(0.25)
        raise ValueError("no")

    async with app:
        ref = await fails.enqueue()
        await drain(app)
        assert (await ref.job()).cost == Decimal("0.75")
        assert await app.dead_letters.requeue(ref) == 1
        await drain(app)
        assert (await ref.job()).cost == Decimal("1.5"), "what was spent is gone"


async def test_seconds_are_charged_and_fractions_are_not_lost(app: Windlass) -> None:
    app.queue("slow", price=Price(second="0.0001"))

    @app.job(queue="slow")
    async def quick() -> None: ...

    async with app:
        await app.enqueue_many([quick.job() for _ in range(2_000)])
        await drain(app)
        found = (await app.metrics(last="1h")).total
        assert found.run is not None
        true = Decimal(str(found.run.average)) * found.run.count * Decimal("0.0001")
        assert abs(found.cost - true) <= Decimal("0.000003") + true / 100, (found.cost, true)


def burn(megabytes: int) -> int:
    """Takes memory and time."""
    block = bytearray(megabytes << 20)
    return sum(range(300_000)) + len(block)


async def test_threads_tell_their_cpu(app: Windlass) -> None:
    @app.job(price=Price(gb_second="1"))
    def work() -> int:
        return burn(1)

    async with app:
        await work.enqueue()
        await drain(app)
        found = (await app.metrics(last="1h")).total
        assert found.cpu > 0.001
        assert (found.measured, found.average_memory, found.cost) == (0, None, 0), "memory of a thread is not known"


async def test_estimates_before_actuals_after(app: Windlass) -> None:
    @app.job(price=Price(base="0.01", second="0.001"))
    async def known(ctx: Context) -> None:
        ctx.cost("0.1")

    @app.job
    async def fresh() -> None: ...

    async with app:
        before = await known.estimate()
        assert (before.runs, before.cost, before.seconds) == (0, Decimal("0.01"), None)
        refs = await app.enqueue_many([known.job() for _ in range(4)])
        await drain(app)
        after = await known.estimate()
        actual = sum([(await ref.job()).cost for ref in refs], Decimal(0)) / 4
        assert after.runs == 4 and after.seconds is not None
        assert abs(after.cost - actual) <= Decimal("0.000001")
        assert (await fresh.estimate()).cost == 0


async def test_days_of_users_outlive_their_minutes(app: Windlass) -> None:
    @app.job(price=Price(base="1"))
    async def paid() -> None: ...

    async with app:
        store = await app.store()
        for day in range(3):
            await store.hold_time(START + day * DAY + HOUR)
            await app.enqueue_many([paid.options(user=f"u{n}").job() for n in range(3 + day)])
            await drain(app)
        await store.hold_time(START + 4 * DAY)
        before = await app.metrics(user="u0", last="10d"), await app.users(last="10d")
        assert (before[0].total.completed, len(before[0].days), before[0].total.cost) == (3, 3, 3)
        assert [each.completed for each in before[1]] == [3, 3, 3, 2, 1]
        assert await fold_users(store, 7 * DAY) >= 3
        assert await fold_users(store, 7 * DAY) == 0
        assert await store.records(DAYS)
        nothing = Retention(
            completed=None, failed=None, cancelled=None, logs=None, archive=None, audit=None, metrics=HOUR
        )
        await prune_all(store, nothing)
        assert (await app.metrics(user="u0", last="10d"), await app.users(last="10d")) == before


@pytest.mark.parametrize("wrong", [-1, "x", float("nan"), "1e9", True, None, [1], Decimal("inf")])
def test_odd_amounts_are_refused(wrong: object) -> None:
    app = Windlass("sqlite://:memory:")
    for field in ("base", "second", "gb_second"):
        with pytest.raises(InvalidOption):
            app.queue("q", price=Price(**{field: wrong}))  # type: ignore[arg-type]
    with pytest.raises(InvalidOption):
        app.queue("q", price=0.1)  # type: ignore[typeddict-item]
    ctx = Context.detached()
    with pytest.raises(InvalidOption):
        ctx.cost(wrong)  # type: ignore[arg-type]


def test_a_currency_is_three_letters() -> None:
    assert Windlass("sqlite://:memory:", currency="eur").settings.currency == "EUR"
    with pytest.raises(Exception, match="currency"):
        Windlass("sqlite://:memory:", currency="euros")
