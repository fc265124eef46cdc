"""Error groups: counted, remembered, new since a version, marked, and run again together."""

import pytest

from tests.store.kit import HOUR, Place
from windlass import Fail, Windlass, fixed
from windlass.errors import ErrorGroupNotFound
from windlass.operate.facts import normalised
from windlass.values.clock import SECOND, moment

START = 1_800_000_000 * SECOND // HOUR * HOUR


async def drain(app: Windlass) -> None:
    while await app.drain():
        pass


def with_handlers(app: Windlass) -> Windlass:
    """One that fails in two ways, and one that is healed by its second attempt."""

    @app.job(queue="a", max_attempts=1)
    async def fails(n: int) -> None:
        if n % 2:
            raise ValueError(f"row {n} of 0x7f{n:08x} is broken")
        raise KeyError(n)

    @app.job(queue="b", max_attempts=2, backoff=fixed(0))
    async def heals(n: int = 0) -> None:
        from windlass.running.capture import CONTEXT

        ctx: object = CONTEXT.get()
        raise ConnectionError(f"{ctx is None}")

    @app.job(queue="b", max_attempts=1)
    async def gives_up() -> None:
        raise Fail("no")

    return app


async def test_groups(app: Windlass) -> None:
    with_handlers(app)
    async with app:
        await (await app.store()).hold_time(START)
        await app.enqueue_many([app.kind("fails").job(n) for n in range(7)])
        await drain(app)
        groups = {group.type: group for group in await app.errors.list()}
        assert {name: group.letters for name, group in groups.items()} == {"KeyError": 4, "ValueError": 3}
        odd = groups["ValueError"]
        assert odd.message == "row # of # is broken"
        assert (odd.category, odd.can_retry) == ("temporary", True)
        assert (odd.kinds, odd.queues) == (("fails",), ("a",))
        assert (odd.attempts, odd.failures, odd.trend[-1], sum(odd.trend)) == (3, 3, 3, 3)
        assert odd.first == odd.last == odd.first_seen == moment(START)
        assert "ValueError" in odd.trace
        assert await app.errors.get(odd.fingerprint) == odd
        sample = await app.jobs.get(odd.sample or "")
        assert sample.error is not None and sample.error.fingerprint == odd.fingerprint
        assert await app.errors.retry(odd.fingerprint) == 3
        await drain(app)
        again = await app.errors.get(odd.fingerprint)
        assert (again.letters, again.attempts) == (3, 6)
        with pytest.raises(ErrorGroupNotFound):
            await app.errors.get("feedfacefeedface")
        await (await app.store()).hold_time(START + 30 * HOUR)
        later = await app.errors.get(odd.fingerprint)
        assert (later.letters, later.attempts, sum(later.trend)) == (3, 0, 0)


async def test_errors_of_attempts_that_are_made_again(app: Windlass) -> None:
    with_handlers(app)
    async with app:
        await app.kind("heals").enqueue()
        await drain(app)
        (group,) = await app.errors.list()
        assert (group.type, group.attempts, group.failures, group.letters) == ("ConnectionError", 2, 1, 1)


async def test_new_since_a_version(place: Place) -> None:
    def version(text: str) -> Windlass:
        return with_handlers(Windlass(place.url, namespace=place.namespace, app_version=text))

    one = version("1.0")
    async with one:
        await one.kind("fails").enqueue(1)
        await drain(one)
        (first,) = await one.errors.list()
        assert (first.version, first.is_new) == ("1.0", True)
        one.settings = version("1.1").settings  # the same store, as a deploy would leave it
        await one.kind("fails").enqueue(3)
        await one.kind("fails").enqueue(2)
        await drain(one)
        groups = {group.type: group for group in await one.errors.list()}
        assert (groups["ValueError"].version, groups["ValueError"].is_new) == ("1.0", False)
        assert (groups["KeyError"].version, groups["KeyError"].is_new) == ("1.1", True)
        assert [group.type for group in await one.errors.list(new=True)] == ["KeyError"]


async def test_marks(app: Windlass) -> None:
    with_handlers(app)
    async with app:
        store = await app.store()
        await store.hold_time(START)
        await app.kind("fails").enqueue(1)
        await drain(app)
        (group,) = await app.errors.list()
        await store.hold_time(START + HOUR)
        assert (await app.errors.resolve(group.fingerprint, actor="ada")).mark == "resolved"
        assert await app.errors.list(mark="open") == []
        await app.kind("fails").enqueue(3)
        await store.hold_time(START + 2 * HOUR)
        await drain(app)
        assert (await app.errors.get(group.fingerprint)).mark == "open", "it happened again"
        assert (await app.errors.ignore(group.fingerprint, actor="ada")).marked_by == "ada"
        await store.hold_time(START + 3 * HOUR)
        await app.kind("fails").enqueue(5)
        await drain(app)
        assert (await app.errors.get(group.fingerprint)).mark == "ignored"
        assert (await app.errors.reopen(group.fingerprint)).mark == "open"
        acts = (await app.audit(target=f"error:{group.fingerprint}")).items
        assert [act.action for act in acts] == ["reopen", "ignore", "resolve"]


async def test_letters_without_an_error_are_a_group(app: Windlass) -> None:
    with_handlers(app)
    async with app:
        ref = await app.kind("fails").options(delay="1h").enqueue(1)
        await app.jobs.fail(ref, reason="withdrawn")
        (group,) = await app.errors.list()
        assert (group.fingerprint, group.letters, group.can_retry) == ("", 1, True)
        assert (await app.errors.get("none")).letters == 1
        assert await app.errors.retry("none") == 1


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ("order 4711 of user 12", "order # of user #"),
        ("<Box object at 0x7f3a91>", "<Box object at #>"),
        ("no row 01a202c9-f264-751c-95db-b568da287d88", "no row #"),
        ("sha deadbeef0badf00d1 differs", "sha # differs"),
        ("plain text", "plain text"),
    ],
)
def test_what_varies_is_left_out(message: str, wanted: str) -> None:
    assert normalised(message) == wanted
