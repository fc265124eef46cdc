"""Dead letters: seen with all that is needed to judge them, run again by hand, by filter, by themselves, archived and purged."""

import asyncio
from datetime import timedelta

import pytest

from tests.store.kit import HOUR, Place
from tests.waiting import until
from windlass import Fail, InvalidArgs, InvalidOption, JobNotFound, Windlass, exponential, fixed, result_of
from windlass.operate.retention import prune_all, retention_of
from windlass.secrecy import Keys, Secret, generate_key
from windlass.values.clock import SECOND, moment
from windlass.values.metrics import MINUTE
from windlass.values.states import State

START = 1_800_000_000 * SECOND


class Down(Exception):
    """The other side does not answer."""

    category = "provider"


def with_handlers(app: Windlass) -> Windlass:
    """Kinds that fail for good, for a while, until their arguments are right."""

    @app.job(queue="mail", max_attempts=2, backoff=fixed(0), dead_retries=("15m", "1h", "6h"))
    async def send(to: str) -> str:
        if "@" not in to:
            raise Down(f"no route to {to}")
        return to

    @app.job(queue="mail", max_attempts=1, backoff=exponential("5s", cap="5m"), dead_retries=("15m",))
    async def broken(n: int = 0) -> None:
        raise Fail("never")

    @app.job(queue="other", max_attempts=1)
    async def other(n: int) -> None:
        raise Down("quiet")

    return app


async def drain(app: Windlass) -> None:
    """Everything that can run now has run."""
    while await app.drain():
        pass


async def hold(app: Windlass, at: int) -> None:
    await (await app.store()).hold_time(at)


async def test_a_letter_tells_what_is_needed_to_judge_it(app: Windlass) -> None:
    with_handlers(app)
    async with app:
        await hold(app, START)
        ref = await app.enqueue("send", to="nobody")
        await drain(app)
        letter = await app.dead_letters.get(ref)
        assert letter.job.args == {"to": "nobody"}
        assert letter.job.error is not None
        assert (letter.job.error.type, letter.job.error.category) == ("Down", "provider")
        assert [attempt.outcome for attempt in letter.job.attempts] == ["retry", "fail"]
        assert all(attempt.error and "no route" in attempt.error.message for attempt in letter.job.attempts)
        assert letter.policy.max_attempts == 2
        assert letter.policy.dead_retries == (900.0, 3_600.0, 21_600.0)
        assert letter.can_retry and not letter.archived
        assert letter.next_retry_at == moment(START + 15 * MINUTE)
        (listed,) = (await app.dead_letters.list(queue="mail")).items
        assert listed == letter
        assert (await app.dead_letters.list(queue="other")).items == []
        alive = await app.kind("send").options(delay="1h").enqueue(to="x")
        for wrong in (alive.id, "no-such-job"):
            with pytest.raises(JobNotFound):
                await app.dead_letters.get(wrong)


async def test_permanent_errors_are_not_retried_by_themselves(app: Windlass) -> None:
    with_handlers(app)
    async with app:
        await hold(app, START)
        ref = await app.enqueue("broken")
        await drain(app)
        letter = await app.dead_letters.get(ref)
        assert (letter.can_retry, letter.next_retry_at) == (False, None)
        assert letter.policy.backoff == exponential("5s", cap="5m")
        await hold(app, START + 24 * HOUR)
        assert await app.dead_letters.retry_due() == 0


async def test_letters_come_back_by_themselves_three_times(app: Windlass) -> None:
    with_handlers(app)
    async with app:
        await hold(app, START)
        ref = await app.enqueue("send", to="nobody")
        await drain(app)
        at = START
        for number, wait in enumerate((15 * MINUTE, HOUR, 6 * HOUR), 1):
            await hold(app, at + wait - SECOND)
            assert await app.dead_letters.retry_due() == 0, f"too early for retry {number}"
            at += wait + SECOND
            await hold(app, at)
            assert await app.dead_letters.retry_due() == 1
            assert await app.dead_letters.retry_due() == 0
            await drain(app)
            job = await ref.job()
            assert (job.state, job.revivals) == (State.FAILED, number)
        assert (await app.dead_letters.get(ref)).next_retry_at is None
        assert await app.dead_letters.requeue(ref) == 1
        await drain(app)
        job = await ref.job()
        assert job.revivals == 0, "by hand it starts over"
        assert job.next_retry_at == moment(at + 15 * MINUTE)
        assert [act.action for act in (await app.audit(target=ref.id)).items] == ["requeue"]
        assert [act.detail["count"] for act in (await app.audit(target="jobs")).items] == [1, 1, 1]


async def test_the_queue_s_ladder_is_for_kinds_without_one(app: Windlass) -> None:
    with_handlers(app)
    app.queue("other", dead_retries=("2h",))
    app.queue("mail", dead_retries=("9h",))
    async with app:
        await hold(app, START)
        other, send = await app.enqueue("other", 1), await app.enqueue("send", to="x")
        await drain(app)
        assert (await other.job()).next_retry_at == moment(START + 2 * HOUR)
        assert (await send.job()).next_retry_at == moment(START + 15 * MINUTE)
        assert (await app.dead_letters.get(other)).policy.dead_retries == (7_200.0,)


async def test_edited_arguments(app: Windlass) -> None:
    with_handlers(app)
    async with app:
        ref, second = await app.enqueue("send", to="nobody"), await app.enqueue("send", to="noone")
        await drain(app)
        with pytest.raises(InvalidArgs):
            await app.dead_letters.requeue(ref, args={"to": 7})
        with pytest.raises(InvalidOption):
            await app.dead_letters.requeue(ref, second, args={"to": "a@b"})
        assert (await ref.job()).state is State.FAILED
        assert await app.dead_letters.requeue(ref, args={"to": "a@example.com"}, max_attempts=7, actor="ada") == 1
        await drain(app)
        assert await ref.result() == "a@example.com"
        job = await ref.job()
        assert (job.args, job.max_attempts) == ({"to": "a@example.com"}, 7)
        (act,) = (await app.audit(target=ref.id)).items
        assert (act.actor, act.action) == ("ada", "requeue")


async def test_edited_arguments_without_the_code_are_checked_by_what_is_published(shared: Place) -> None:
    app = with_handlers(Windlass(shared.url, namespace=shared.namespace))
    async with app:
        ref = await app.enqueue("send", to="nobody")
        await drain(app)
    async with Windlass(shared.url, namespace=shared.namespace) as stranger:
        for wrong, field in (({"whom": "a@b"}, "whom"), ({}, "to")):
            with pytest.raises(InvalidArgs, match="send") as refused:
                await stranger.dead_letters.requeue(ref.id, args=wrong)
            assert refused.value.facts["field"] == field
        assert await stranger.dead_letters.requeue(ref.id, args={"to": "a@b"}) == 1


async def test_an_argument_that_is_a_result_is_left_out_of_other_ones(app: Windlass) -> None:
    @app.job
    async def number() -> int:
        return 7

    @app.job(max_attempts=1)
    async def use(n: int, to: str) -> str:
        if to == "bad":
            raise Fail("bad")
        return f"{n} {to}"

    async with app:
        parent = number.job()
        made = use.job(n=result_of(parent), to="bad")
        await app.enqueue_many([parent, made])
        await drain(app)
        with pytest.raises(InvalidArgs, match=f"result of job {parent.id}") as refused:
            await app.dead_letters.requeue(made.id, args={"n": 8, "to": "good"})
        assert refused.value.facts["field"] == "n" and parent.id in refused.value.facts["mend"]
        for wrong, field in (({"to": 5}, "to"), ({}, "to"), ({"to": "good", "from": 1}, "from")):
            with pytest.raises(InvalidArgs) as refused:
                await app.dead_letters.requeue(made.id, args=wrong)
            assert refused.value.facts["field"] == field
        assert await app.dead_letters.requeue(made.id, args={"to": "good"}) == 1
        await drain(app)
        assert (await app.jobs.get(made.id)).result == "7 good"


async def test_by_filter_group_and_none_twice(app: Windlass) -> None:
    with_handlers(app)
    async with app:
        await app.enqueue_many([app.kind("other").job(n) for n in range(700)])
        await app.enqueue_many([app.kind("send").job(to=f"{n}") for n in range(3)])
        await drain(app)
        group = next(each for each in await app.errors.list() if each.letters == 700)
        assert await app.dead_letters.requeue(fingerprint=group.fingerprint, limit=600) == 600
        assert (await app.queues.stats())["other"]["waiting"] == 600
        assert (await app.dead_letters.stats()).total == 103
        assert await app.dead_letters.requeue(queue="mail") == 3
        with pytest.raises(InvalidOption):
            await app.dead_letters.requeue()
        with pytest.raises(InvalidOption):
            await app.dead_letters.requeue(queue=[])
        with pytest.raises(InvalidOption):
            await app.dead_letters.purge()


async def test_statistics(app: Windlass) -> None:
    with_handlers(app)
    async with app:
        await hold(app, START)
        await app.enqueue_many([app.kind("other").job(n) for n in range(5)])
        await app.enqueue_many([app.kind("broken").job(n) for n in range(3)])
        await app.enqueue_many([app.kind("send").job(to=f"{n}") for n in range(2)])
        await drain(app)
        stats = await app.dead_letters.stats()
        assert (stats.total, stats.retryable, stats.permanent, stats.exact) == (10, 7, 3, True)
        assert stats.queues == {"mail": 5, "other": 5}
        assert (stats.scheduled, stats.archived) == (2, 0)
        assert [(group.type, group.n, group.can_retry) for group in stats.groups] == [
            ("Down", 5, True),
            ("Fail", 3, False),
            ("Down", 2, True),
        ]
        assert stats.oldest == stats.newest == moment(START)
        mail = await app.dead_letters.stats("mail")
        assert (mail.total, mail.retryable, mail.permanent, mail.scheduled) == (5, 2, 3, 2)
        assert sum(group.n for group in mail.groups) == 5
        assert (await app.dead_letters.stats("none")).total == 0


async def test_archived_by_age_and_by_hand_and_purged(app: Windlass) -> None:
    with_handlers(app)
    day = 24 * HOUR
    async with app:
        await hold(app, START)
        old = await app.enqueue("send", to="old")
        await drain(app)
        await hold(app, START + 29 * day)
        young = await app.enqueue("send", to="young")
        await drain(app)
        assert {letter.archived for letter in (await app.dead_letters.list()).items} == {False}
        await hold(app, START + 31 * day)
        store = await app.store()
        await prune_all(store, await retention_of(store, app.settings.retention))
        assert [letter.job.id for letter in (await app.dead_letters.list(archived=True)).items] == [old.id]
        assert [letter.job.id for letter in (await app.dead_letters.list(archived=False)).items] == [young.id]
        assert (await old.job()).next_retry_at is None
        assert (await young.job()).next_retry_at is not None
        assert await app.dead_letters.archive(older_than="1d", actor="ada") == moment(START + 30 * day)
        assert (await young.job()).next_retry_at is None
        assert (await app.dead_letters.list(archived=False)).items == []
        assert (await app.dead_letters.stats()).archived == 2
        (act,) = (await app.audit(target="dead-letters")).items
        assert (act.actor, act.action) == ("ada", "archive")
        assert await app.dead_letters.requeue(old) == 1, "what is archived can be run again by hand"
        await drain(app)
        assert await app.dead_letters.purge(older_than="1d") == 1
        assert [letter.job.id for letter in (await app.dead_letters.list()).items] == [old.id]


async def test_the_schedule_runs_what_is_due(place: Place) -> None:
    from tests.worker.kit import working

    app = with_handlers(Windlass(place.url, namespace=place.namespace, maintenance=True))
    async with app:
        await hold(app, START)
        ref = await app.enqueue("send", to="nobody")
        await drain(app)
        async with working(app):

            async def declared() -> bool:
                return any(each.key == "windlass.retry-dead" for each in await app.schedules.list())

            await until(declared, "the worker has written its schedules")
            schedule = await app.schedules.get("windlass.retry-dead")
            assert (schedule.queue, schedule.paused) == ("windlass", False)
            await hold(app, START + 16 * MINUTE)

            async def came_back() -> bool:
                job = await ref.job()
                return job.revivals == 1 and job.state is State.FAILED

            await until(came_back, "the schedule's job has run it again")
        (act,) = (await app.audit(target="jobs")).items
        assert (act.actor, act.action) == ("schedule:windlass.retry-dead", "requeue")


async def test_a_replay_has_progress_and_leaves_alone_what_fails_meanwhile(app: Windlass) -> None:
    with_handlers(app)
    async with app:
        await app.enqueue_many([app.kind("other").job(n) for n in range(1_200)])
        await app.enqueue_many([app.kind("send").job(to=f"{n}") for n in range(3)])
        await drain(app)
        ref = await app.dead_letters.replay(queue="other", actor="ada")
        await drain(app)
        job = await ref.job()
        assert (job.state, job.queue, job.progress_note) == (State.COMPLETED, "windlass", "1,200 requeued")
        assert (await app.queues.stats())["other"]["failed"] == 1_200, "they failed again, and stayed"
        acts = (await app.audit(actor=f"ada replay:{ref.id}")).items
        assert sum(act.detail["count"] for act in acts) == 1_200
        letters = (await app.dead_letters.list(queue="other", limit=1_000)).items
        assert {len(letter.job.attempts) for letter in letters} == {2}


async def test_a_replay_keeps_to_its_rate_and_can_be_cancelled(app: Windlass) -> None:
    with_handlers(app)
    async with app:
        await app.enqueue_many([app.kind("other").job(n) for n in range(60)])
        await drain(app)
        await app.queues.pause("other")
        ref = await app.dead_letters.replay(queue="other", per_second=8)
        worker = app.worker(lease="2s")
        running = asyncio.create_task(worker.run())

        async def began() -> bool:
            return (await app.queues.stats())["other"]["waiting"] >= 4

        await until(began, "some are requeued")
        await ref.cancel()

        async def ended() -> bool:
            return (await ref.job()).is_final

        await until(ended, "the replay stopped")
        await worker.stop()
        await running
        assert (await ref.job()).state is State.CANCELLED
        assert 4 <= (await app.queues.stats())["other"]["waiting"] < 60


def test_odd_options_are_refused() -> None:
    app = Windlass("sqlite://:memory:")
    for wrong in ("15m", ["soon"], [timedelta(0)], ["1h"] * 21, 5):
        with pytest.raises(InvalidOption):
            app.job(dead_retries=wrong)(lambda: None)  # type: ignore[arg-type]
        with pytest.raises(InvalidOption):
            app.queue("q", dead_retries=wrong)  # type: ignore[arg-type]


async def test_edited_arguments_of_an_encrypted_kind_are_sealed(place: Place) -> None:
    app = Windlass(place.url, namespace=place.namespace, encryption=Keys({"k": generate_key()}))

    @app.job(max_attempts=1)
    async def charge(card: Secret[str], amount: int) -> str:
        if amount < 0:
            raise ValueError("negative")
        return f"{card[-4:]} {amount}"

    async with app:
        ref = await charge.enqueue("4111-2222", -1)
        await app.drain()
        letter = await app.dead_letters.get(ref)
        assert "4111" not in repr(letter)
        assert await app.dead_letters.requeue(ref, args={"card": "5555-7777", "amount": 5}) == 1
        assert "5555" not in repr((await ref.job()).args)
        await app.drain()
        assert await ref.result() == "7777 5"
