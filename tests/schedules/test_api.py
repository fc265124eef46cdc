"""`app.schedules` and `@app.schedule`: what users write, and what becomes of it in the store."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.schedules.kit import hold
from tests.store.kit import HOUR, T0, Place
from tests.store.places import chosen_engines
from windlass.app import Windlass
from windlass.errors import InvalidArgs, InvalidOption, ScheduleError, ScheduleNotFound
from windlass.schedules.maintenance import install
from windlass.values.clock import moment
from windlass.values.query import AuditQuery
from windlass.values.schedule import ScheduleRow
from windlass.values.states import State

NOW = moment(T0)
FULL_HOUR = NOW.replace(minute=0, second=0) + timedelta(hours=1)


async def test_put_get_list_remove(app: Windlass) -> None:
    @app.job(queue="reports")
    async def report(day: str, *, full: bool = False) -> None: ...

    async with app:
        await hold(app)
        made = await app.schedules.put(
            "daily",
            report.job("today", full=True),
            cron="0 6 * * *",
            timezone="Europe/Berlin",
            jitter="5m",
            actor="ada",
        )
        assert made == await app.schedules.get("daily")
        assert (made.kind, made.queue, made.args) == ("report", "reports", {"day": "today", "full": True})
        assert (made.when, made.timezone, made.overlap, made.missed) == (
            "0 6 * * *",
            "Europe/Berlin",
            "skip",
            "run_once",
        )
        assert (made.owner, made.paused, made.fired, made.last_at, made.jitter) == (None, False, 0, None, 300.0)
        assert made.next_at == datetime(2027, 1, 16, 5, 0, tzinfo=UTC)
        await app.schedules.put("beat", report.job("now"), every="30s")
        assert [each.key for each in await app.schedules.list()] == ["beat", "daily"]
        assert (await (await app.store()).audit(AuditQuery(target="schedule:daily")))[0].actor == "ada"
        assert await app.schedules.remove("daily")
        assert not await app.schedules.remove("daily")
        with pytest.raises(ScheduleNotFound, match="'beat'"):
            await app.schedules.get("beet")


async def test_what_never_fires_is_refused(app: Windlass) -> None:
    @app.job
    async def once() -> None: ...

    async with app:
        await hold(app)
        with pytest.raises(ScheduleError, match="never fires"):
            await app.schedules.put("late", once.job(), at=NOW - timedelta(seconds=1))
        with pytest.raises(InvalidOption, match="key"):
            await app.schedules.put("windlass.mine", once.job(), every="5m")
        assert await app.schedules.list() == []
        due = await app.schedules.put("soon", once.job(), at=NOW + timedelta(seconds=1))
        assert due.next_at == NOW + timedelta(seconds=1)


async def test_putting_again_keeps_what_happened(app: Windlass) -> None:
    @app.job
    async def tick(n: int) -> None: ...

    async with app:
        await hold(app)
        await app.schedules.put("tick", tick.job(1), every="1h")
        await hold(app, T0 + HOUR)
        assert await app.drain() == 1
        again = await app.schedules.put("tick", tick.job(2), every="1h")
        assert (again.fired, again.last_at, again.args) == (1, FULL_HOUR, {"n": 2})
        assert again.next_at == FULL_HOUR + timedelta(hours=1)
        await app.schedules.pause("tick")
        moved = await app.schedules.put("tick", tick.job(2), every="30m")
        assert moved.paused
        assert (await app.schedules.put("tick", tick.job(2), every="30m", paused=False)).next_at is not None


async def test_a_missed_time_survives_a_change_of_the_job_but_not_of_the_timing(app: Windlass) -> None:
    @app.job
    async def tick(n: int) -> None: ...

    async with app:
        await hold(app)
        await app.schedules.put("kept", tick.job(1), every="1h")
        await app.schedules.put("moved", tick.job(1), every="1h")
        await hold(app, T0 + 2 * HOUR)
        assert (await app.schedules.put("kept", tick.job(2), every="1h")).next_at == FULL_HOUR
        moved = await app.schedules.put("moved", tick.job(2), every="2h")
        assert moved.next_at is not None
        assert moved.next_at > NOW + timedelta(hours=2)


async def test_pause_resume_and_trigger(app: Windlass) -> None:
    @app.job
    async def tick() -> str:
        return "tock"

    async with app:
        await hold(app)
        await app.schedules.put("tick", tick.job(), every="1h")
        paused = await app.schedules.pause("tick", actor="ada")
        assert (paused.paused, paused.next_at) == (True, None)
        await hold(app, T0 + 5 * HOUR)
        assert await app.drain() == 0, "paused"
        ref = await app.schedules.trigger("tick")
        assert await app.drain() == 1
        assert await ref.result(timeout=5) == "tock"
        resumed = await app.schedules.resume("tick", actor="ada")
        assert resumed.next_at == FULL_HOUR + timedelta(hours=5)
        assert await app.drain() == 0, "what passed during the pause is not made up for"
        await hold(app, T0 + 6 * HOUR)
        assert await app.drain() == 1
        history = (await app.schedules.history("tick")).items
        assert [job.kind for job in history] == ["tick", "tick"]
        assert history[1].id == ref.id
        assert all("schedule:tick" in job.tags for job in history)
        actors = [entry.actor for entry in await (await app.store()).audit(AuditQuery(target="schedule:tick"))]
        assert actors == ["ada", "ada", "app"]


async def test_preview_is_in_its_zone_and_also_while_paused(app: Windlass) -> None:
    @app.job
    async def tick() -> None: ...

    async with app:
        await app.schedules.put("tick", tick.job(), cron="30 2 * * *", timezone="Europe/Berlin", paused=True)
        seen = await app.schedules.preview("tick", 3, after=datetime(2026, 3, 28, 12, tzinfo=UTC))
        assert [(each.at.isoformat(), each.mark) for each in seen] == [
            ("2026-03-29T03:00:00+02:00", "gap"),
            ("2026-03-30T02:30:00+02:00", None),
            ("2026-03-31T02:30:00+02:00", None),
        ]


def two_versions(place: Place) -> tuple[Windlass, Windlass, Windlass]:
    """The same program before, between and after two deploys, and what each declares."""
    first, second, third = (Windlass(place.url, namespace=place.namespace) for _ in range(3))

    @first.schedule("@daily", key="gone", args=(0,))
    @first.schedule("0 6 * * *", args=(1,))
    @first.job(kind="report")
    async def report_one(n: int) -> None: ...

    @second.schedule("0 6 * * *", kwargs={"n": 2})
    @second.job(kind="report")
    async def report_two(n: int) -> None: ...

    return first, second, third


@pytest.mark.parametrize("place", chosen_engines(processes=True), indirect=True)  # in memory every app has its own
async def test_a_deploy_makes_the_store_like_the_code(place: Place) -> None:
    first, second, third = two_versions(place)
    async with first, second, third:
        store = await first.store()
        assert sorted((await first.timetable.deploy(store)).put) == ["gone", "report"]
        assert await first.timetable.deploy(store) == ([], []), "nothing to do the second time"
        assert (await first.schedules.get("report")).owner == __name__
        await first.schedules.pause("report")
        await first.schedules.put("mine", first.handlers["report"].job(7), every="1h")
        assert await second.drain() == 0  # a worker starts, and deploys
        found = {each.key: each for each in await second.schedules.list()}
        assert sorted(found) == ["mine", "report"]
        assert (found["report"].args, found["report"].paused) == ({"n": 2}, True)
        await third.drain()
        assert [each.key for each in await third.schedules.list()] == ["mine"], "what was put at run time stays"


async def test_what_was_put_at_run_time_wins_over_code(app: Windlass) -> None:
    @app.schedule("@daily")
    @app.job
    async def report() -> None: ...

    async with app:
        await app.schedules.put("report", report.job(), every="1h")
        await app.drain()
        assert (await app.schedules.get("report")).when == "every 1h"
        await app.schedules.remove("report")
        await app.drain()
        assert (await app.schedules.get("report")).when == "0 0 * * *"


async def test_one_time_code_whose_day_has_passed_stays_quiet(app: Windlass) -> None:
    @app.schedule(at=NOW)
    @app.job
    async def launch() -> None: ...

    async with app:
        await hold(app, T0 - HOUR)
        assert await app.drain() == 0
        await hold(app, T0 + HOUR)
        assert await app.drain() == 1
        assert await app.drain() == 0
        assert (await app.schedules.get("launch")).next_at is None
        await app.schedules.remove("launch")
        assert await app.drain() == 0


def test_declarations_are_checked_when_they_are_made() -> None:
    app = Windlass("sqlite://:memory:")

    @app.job
    async def report(day: str) -> None: ...

    assert app.schedule("@daily", args=("today",))(report) is report
    for wrong in ({}, {"args": (1,)}, {"args": ("a", "b")}, {"kwargs": {"dya": "x"}}):
        with pytest.raises(InvalidArgs):
            app.schedule("@daily", key="other", **wrong)(report)  # type: ignore[arg-type]
    for wrong in ({"args": "eu"}, {"args": 5}, {"kwargs": [1]}, {"kwargs": {1: 2}}, {"options": "slow"}, {"key": ""}):
        with pytest.raises(InvalidOption) as refused:
            app.schedule("@daily", **{"key": "other", "args": ("a",), **wrong})(report)  # type: ignore[arg-type]
        assert refused.value.field in wrong
    with pytest.raises(ScheduleError, match="cron"):
        app.schedule("61 * * * *")
    with pytest.raises(InvalidOption, match="exactly one"):
        app.schedule("@daily", every="5m")
    with pytest.raises(InvalidOption, match="two schedules"):
        app.schedule("@hourly", args=("x",))(report)
    with pytest.raises(InvalidOption, match=r"above @app\.job"):
        app.schedule("@hourly")(print)  # type: ignore[type-var]


def test_types_defined_further_down_are_still_checked_later() -> None:
    app = Windlass("sqlite://:memory:")
    names: dict[str, object] = {"app": app}
    exec(
        "@app.schedule('@daily', args=({'n': 1},))\n@app.job\ndef take(order: 'Order') -> None: ...\n"
        "class Order(__import__('msgspec').Struct):\n    n: int\n",
        names,
    )
    with pytest.raises(InvalidArgs):
        app.handlers["take"].job({"n": "one"})


async def test_options_of_the_jobs(app: Windlass) -> None:
    @app.schedule(every="1h", options={"queue": "slow", "priority": 5, "user": "ada"})
    @app.job
    async def report() -> None: ...

    async with app:
        await hold(app)
        await app.drain()
        await hold(app, T0 + HOUR)
        await app.drain()
        (job,) = (await app.schedules.history("report")).items
        assert (job.queue, job.priority, job.user, job.state) == ("slow", 5, "ada", State.COMPLETED)


async def test_a_row_of_a_newer_version_is_shown_and_left_alone(app: Windlass) -> None:
    @app.job
    async def tick() -> None: ...

    async with app:
        await hold(app)
        store = await app.store()
        await store.put_schedules([ScheduleRow(key="new", spec='{"lunar": "full"}', due=T0)], "future")
        await app.schedules.put("tick", tick.job(), every="1h")
        assert [(each.key, each.when) for each in await app.schedules.list()] == [
            ("new", "unreadable"),
            ("tick", "every 1h"),
        ]
        await hold(app, T0 + HOUR)
        assert await app.drain() == 1
        assert (await store.schedules())[0].due == T0


@pytest.mark.parametrize("on", [True, False])
async def test_maintenance_is_visible_and_can_be_turned_off(place: Place, on: bool) -> None:
    from tests.worker.kit import working

    app = Windlass(place.url, namespace=place.namespace, maintenance=on)
    async with app:
        async with working(app):
            pass
        keys = [each.key for each in await app.schedules.list()]
        assert all(key.startswith("windlass.") for key in keys)
        built_in = {"windlass.prune-jobs", "windlass.prune-metrics", "windlass.retry-dead"}
        assert set(keys) >= built_in if on else keys == []


async def test_maintenance_prunes(place: Place) -> None:
    from tests.worker.kit import working

    app = Windlass(place.url, namespace=place.namespace, maintenance=True, keep_completed="1h")

    @app.job
    async def tick() -> None: ...

    async with app:
        await hold(app)
        old = await tick.enqueue()
        await app.drain()
        async with working(app):
            pass
        for each in await app.schedules.list():
            if each.key != "windlass.prune-jobs":
                await app.schedules.pause(each.key)
        await hold(app, T0 + 48 * HOUR)
        assert await app.drain() == 1
        assert await (await app.store()).job(old.id) is None
        (job,) = (await app.schedules.history("windlass.prune-jobs")).items
        assert (job.queue, job.state) == ("windlass", State.COMPLETED)
        assert [kind.name for kind in await app.published_kinds()] == ["tick"]
        async with working(app):
            pass
        assert (await app.schedules.get("windlass.prune-metrics")).paused, "the next start leaves the pause"


async def test_each_prune_does_its_share(app: Windlass) -> None:
    @app.job
    async def tick() -> None: ...

    install(app)
    prune = app.handlers["windlass.prune"].fn
    assert prune is not None
    async with app:
        await hold(app)
        await app.enqueue_many([tick.job() for _ in range(1_200)])
        assert await app.drain() == 1_200
        await hold(app, T0 + 48 * HOUR)
        assert await prune("metrics") == 0
        assert await prune("jobs") == 1_200
