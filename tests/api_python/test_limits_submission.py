"""How often a user may enqueue: refused or put off, at every door, and what is said about it."""

import asyncio
from datetime import timedelta

import pytest

from tests.api_python.held import held
from windlass import InvalidOption, RateLimitExceeded, State, UnknownKind, Windlass, chain, testing


def metered(app: Windlass, **options: object) -> testing.Handler[..., None]:
    @app.job(**({"per_user_rate": "3/h"} | options))  # type: ignore[arg-type]
    async def render(n: int) -> None: ...

    return render


async def test_over_the_rate_is_refused_and_stored_is_nothing(app: Windlass) -> None:
    render = metered(app)
    async with held(app) as box:
        for n in range(3):
            await render.options(user="ann").enqueue(n)
        with pytest.raises(RateLimitExceeded) as refused:
            await render.options(user="ann").enqueue(4)
        error = refused.value
        assert (error.limit, error.remaining, error.count, error.user, error.kind) == (3, 0, 3, "ann", "render")
        assert error.reset_at == await box.now() + timedelta(hours=1)
        assert "3/h" in str(error)
        assert error.mend
        assert len((await app.jobs.list(kind="render")).items) == 3
        await render.options(user="bob").enqueue(1)
        await render.enqueue(1)
        await box.advance("59m")
        with pytest.raises(RateLimitExceeded):
            await render.options(user="ann").enqueue(4)
        await box.advance("1m1s")
        await render.options(user="ann").enqueue(4)


async def test_status_tells_what_is_left_and_uses_nothing_up(app: Windlass) -> None:
    render = metered(app)
    async with held(app) as box:
        for n in range(4):
            status = await app.limits.status(user="ann", kind="render")
            left = max(0, 3 - n)
            assert (status["count"], status["limit"], status["remaining"]) == (min(n, 3), 3, left)
            assert status["reset_at"] == await box.now() + timedelta(hours=0 if left else 1)
            if left:
                await render.options(user="ann").enqueue(n)


async def test_batches_count_all_their_jobs_or_none(app: Windlass) -> None:
    render = metered(app)
    ann, bob = render.options(user="ann"), render.options(user="bob")
    async with held(app):
        await app.enqueue_many([ann.job(1), ann.job(2)])
        with pytest.raises(RateLimitExceeded) as refused:
            await app.enqueue_many([bob.job(1), ann.job(3), ann.job(4)])
        assert (refused.value.user, refused.value.remaining) == ("ann", 1)
        with pytest.raises(RateLimitExceeded, match="never fit"):
            await app.enqueue_many([bob.job(n) for n in range(4)])
        assert (await app.limits.status(user="bob", kind="render"))["count"] == 0, "of no key was anything taken"
        await app.enqueue_many([bob.job(n) for n in range(3)])
        with pytest.raises(RateLimitExceeded):
            await app.run(chain(ann.job(1), ann.job(2)))
        await app.run(chain(ann.job(1), render.job(2)))
        with pytest.raises(RateLimitExceeded) as stopped:
            await app.enqueue_many((render.options(user="cyd").job(n) for n in range(5_000)), atomic=False)
        assert stopped.value.stored == 0


async def test_many_at_once_never_pass(app: Windlass) -> None:
    render = metered(app).options(user="ann")
    async with held(app):
        answers = await asyncio.gather(*(render.enqueue(n) for n in range(20)), return_exceptions=True)
        assert sum(isinstance(answer, RateLimitExceeded) for answer in answers) == 17


async def test_plans(app: Windlass) -> None:
    render = metered(app, per_user_rate={"free": "1/h", "pro": "2/h"})
    async with held(app):
        await render.options(user="ann").enqueue(1)
        with pytest.raises(RateLimitExceeded):
            await render.options(user="ann").enqueue(2)
        await render.options(user="bob", plan="pro").enqueue(1)
        await render.options(user="bob", plan="pro").enqueue(2)
        assert (await app.limits.status(user="bob", kind="render", plan="pro"))["remaining"] == 0
        with pytest.raises(InvalidOption, match="gold"):
            render.options(plan="gold")
        with pytest.raises(InvalidOption):
            await app.limits.status(user="bob", kind="render", plan="gold")


async def test_put_off_until_it_fits(app: Windlass) -> None:
    render = metered(app, on_rate="delay").options(user="ann")
    async with held(app) as box:
        refs = [await render.enqueue(n) for n in range(3)]
        refs += await app.enqueue_many([render.job(n) for n in range(3, 8)])
        jobs = [await ref.job() for ref in refs]
        assert [job.state for job in jobs] == [State.WAITING] * 3 + [State.DELAYED] * 5
        assert {job.run_at for job in jobs[3:]} == {await box.now() + timedelta(hours=1)}
        assert await box.drain() == 3
        assert await box.advance("1h1s") == 3, "those put off to the same moment do not all run then"
        assert await box.advance("1h1s") == 2


async def test_a_later_time_of_its_own_stays(app: Windlass) -> None:
    render = metered(app, per_user_rate="1/h", on_rate="delay").options(user="ann")
    async with held(app) as box:
        await render.enqueue(1)
        soon, late = await render.options(delay="1m").enqueue(2), await render.options(delay="2h").enqueue(3)
        now = await box.now()
        assert (await soon.job()).run_at == now + timedelta(hours=1)
        assert (await late.job()).run_at == now + timedelta(hours=2)


async def test_a_batch_larger_than_the_window_is_put_off_in_part(app: Windlass) -> None:
    render = metered(app, on_rate="delay").options(user="ann")
    async with held(app):
        refs = await app.enqueue_many([render.job(n) for n in range(7)])
        states = [(await ref.job()).state for ref in refs]
        assert states == [State.WAITING] * 3 + [State.DELAYED] * 4


async def test_the_blocking_door_and_producers_without_the_code() -> None:
    app = Windlass("sqlite://:memory:")
    render = metered(app)

    def block() -> None:
        for n in range(3):
            app.sync.enqueue(render.options(user="ann"), n)
        with pytest.raises(RateLimitExceeded):
            app.sync.enqueue(render.options(user="ann"), 3)
        app.sync.close()

    await asyncio.to_thread(block)
    async with app:
        info = (await app.published_kinds())[0]
        elsewhere = Windlass("sqlite://:memory:")
        handler = elsewhere.kinds._from(info)
        async with elsewhere:
            await elsewhere.enqueue_many([handler.options(user="ann").job(n) for n in range(3)])
            with pytest.raises(RateLimitExceeded):
                await handler.options(user="ann").enqueue(3)
            with pytest.raises(UnknownKind):
                await elsewhere.limits.status(user="ann", kind="rendr")


async def test_inside_a_transaction(app: Windlass) -> None:
    render = metered(app).options(user="ann")
    async with testing.sandbox(app):
        async with app.transaction() as tx:
            tx.execute("create table orders (n)")
            for n in range(2):
                await render.enqueue(n)
        await render.enqueue(2)
        with pytest.raises(RateLimitExceeded):
            async with app.transaction():
                await render.enqueue(3)
