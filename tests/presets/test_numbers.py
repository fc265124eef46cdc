"""The presets against the numbers of the inventory, written down here a second time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from windlass import Fail, InvalidOption, Windlass, presets
from windlass.operate.retention import retention_of
from windlass.presets.documents import payment_delay
from windlass.presets.work import Preset
from windlass.values.clock import SECOND
from windlass.values.retry import Backoff

MEDIA = {  # queue: concurrency, rate, per user
    "video-processing": (2, "5/m", "10/h"),
    "content-generation": (5, "20/m", "50/h"),
    "email-sending": (10, "100/m", "200/h"),
    "transcript-generation": (3, "10/m", "20/h"),
    "social-posting": (5, "20/m", "100/h"),
    "scheduled-posts": (5, None, None),
}
TYPES = {
    "video-generation": 2, "script-generation": 5, "scene-creation": 3, "audio-synthesis": 3, "image-generation": 5,
    "world-building": 2, "content-analysis": 10, "video-composition": 1, "personalization": 5, "ai-processing": 3,
}  # fmt: skip
RETRIES = {  # shape, attempts, base, cap
    "deploy-contract": ("exponential", 5, 5.0, 300.0),
    "process-tts": ("exponential", 3, 2.0, 60.0),
    "index-market-news": ("linear", 7, 10.0, 120.0),
}
MARKETPLACE = {
    "email-sending": 10, "file-processing": 4, "analytics-aggregation": 2, "payment-retry": 2, "referral-commission": None,
    "daily-reports": 1, "weekly-reports": 1,
}  # fmt: skip
SCHEDULES = {
    "market.dead-letter-retries": "* * * * *",
    "market.health": "*/5 * * * *",
    "market.dead-letter-purge": "0 2 * * *",
    "market.metrics": "0 * * * *",
    "media.scheduled-posts": "* * * * *",
    "media.cleanup": "0 2 * * *",
    "marketplace.daily-reports": "0 6 * * *",
    "marketplace.weekly-reports": "0 8 * * mon",
    "marketplace.analytics-hourly": "5 * * * *",
    "marketplace.analytics-daily": "0 1 * * *",
    "marketplace.analytics-weekly": "30 1 * * mon",
    "marketplace.analytics-monthly": "30 2 1 * *",
}


def app_with(*chosen: Preset) -> Windlass:
    app = Windlass("sqlite://:memory:")
    for preset in chosen:
        presets.apply(app, preset)
    return app


def priority(app: Windlass, kind: str, **args: Any) -> int:
    return app.kind(kind).job(**args).priority


def test_every_queue_of_the_documents_is_there() -> None:
    queues = {work.queue for work in presets.ALL}
    assert queues == {*MEDIA, *TYPES, *RETRIES, *MARKETPLACE}
    assert len(queues) == 25  # and `dead-letter`, which is every failed job


def test_media() -> None:
    assert {w.queue: (w.concurrency, w.rate, w.per_user_rate) for w in presets.media.works} == MEDIA
    assert {w.max_attempts for w in presets.media.works} == {3}
    assert presets.media.work("video-processing").priority == 5
    assert (presets.media.keep.completed, presets.media.keep.failed) == (24 * 3_600, 7 * 86_400)


def test_ai_video() -> None:
    assert {w.queue: w.concurrency for w in presets.ai_video.works} == TYPES
    assert presets.ai_video.plans == {"free": 1, "basic": 2, "pro": 5, "enterprise": 10}
    for work in presets.ai_video.works:
        backoff = work.backoff
        assert isinstance(backoff, Backoff)
        assert (work.max_attempts, backoff.shape, backoff.base) == (3, "exponential", 2.0)
    keep = presets.ai_video.keep
    assert (keep.last_completed, keep.last_failed) == (10, 50)
    assert (presets.ai_video.lease, presets.ai_video.max_rescues) == (30.0, 1)


def test_market() -> None:
    for queue, (shape, attempts, base, cap) in RETRIES.items():
        work = presets.market.work(queue)
        backoff = work.backoff
        assert isinstance(backoff, Backoff)
        assert (backoff.shape, work.max_attempts, backoff.base, backoff.cap) == (shape, attempts, base, cap)


def test_marketplace() -> None:
    assert {w.queue: w.concurrency for w in presets.marketplace.works} == MARKETPLACE
    assert [payment_delay(n) for n in (1, 2, 3, 4, 5)] == [3_600, 21_600, 86_400, 259_200, 259_200]
    assert presets.marketplace.work("payment-retry").max_attempts == 5
    assert presets.marketplace.work("analytics-aggregation").priority == -5


def test_schedules() -> None:
    assert {s.key: s.cron for preset in presets.PRESETS for s in preset.schedules} == SCHEDULES


def test_contracts_by_environment_and_tag() -> None:
    app = app_with(presets.market)
    assert priority(app, "deploy", environment="production", metadata={"tags": ["urgent", "production"]}) == 10
    assert priority(app, "deploy", environment="staging", metadata={"tags": ["urgent"]}) == 5
    assert priority(app, "deploy", environment="staging") == 0
    assert priority(app, "deploy", environment="dev") == -5


def test_speech_by_length_and_haste() -> None:
    app = app_with(presets.market)
    assert priority(app, "tts-process", text="x" * 9_000, realTime=True) == 5
    assert priority(app, "tts-process", text="x" * 500) == 0
    assert priority(app, "tts-process", text="x" * 500, batch=True) == -5
    assert priority(app, "tts-process", text="x", metadata={"tags": ["urgent"]}) == 5


def test_news_by_age() -> None:
    app = app_with(presets.market)
    now = datetime.now(UTC)
    assert priority(app, "index-market-news", breaking=True) == 10
    assert priority(app, "index-market-news", publishedAt=(now - timedelta(minutes=4)).isoformat()) == 5
    assert priority(app, "index-market-news", publishedAt=(now - timedelta(minutes=6)).isoformat()) == 0
    assert priority(app, "index-market-news") == 0


def test_plans_and_files() -> None:
    app = app_with(presets.ai_video, presets.marketplace)
    ranks = {"free": -5, "basic": 0, "pro": 5, "enterprise": 10}
    for plan, rank in ranks.items():
        job = app.kind("script-generation").options(user="ann", plan=plan).job(prompt="x")
        assert job.priority == rank
        (bound,) = job.limits
        assert bound.concurrency == presets.ai_video.plans[plan]
    one, other = (app.kind(kind).options(user="ann").job().limits for kind in ("script-generation", "scene-creation"))
    assert one == other, "a user's plan counts jobs of all types together"
    assert priority(app, "file-processing", userId="user-123") == 5
    assert priority(app, "file-processing") == 0


async def test_an_app_applies_them() -> None:
    app = app_with(*presets.PRESETS)
    async with app:
        await app.worker().run(until_idle=True)
        limits = {each.key: each for each in await app.limits.list()}
        for queue, (concurrency, rate, _) in MEDIA.items():
            found = limits[f"queue:{queue}"]
            assert (found.concurrency, found.rate) == (concurrency, rate), queue
        for queue, concurrency in TYPES.items():
            assert limits[f"queue:{queue}"].concurrency == concurrency
        schedules = {each.key: each.when for each in await app.schedules.list()}
        assert schedules == {key: cron for key, cron in SCHEDULES.items() if key in schedules}
        assert set(SCHEDULES) - set(schedules) == {
            "media.cleanup", "media.scheduled-posts", "market.metrics", "market.dead-letter-retries", "market.dead-letter-purge",
        }  # fmt: skip
        orders = {info.name: info.order for info in await app.queues.list()}
        assert {orders[queue] for queue in RETRIES} == {"weighted"}
        await app.schedules.trigger("market.health")
        assert await app.drain() == 1
        (report,) = (await app.schedules.history("market.health")).items
        assert {each["queueName"] for each in report.result} == set(RETRIES)


async def test_a_user_s_rate_is_kept() -> None:
    from windlass import RateLimitExceeded

    app = app_with(presets.media)
    async with app:
        job = app.kind("process-video").options(user="ann")
        for number in range(10):
            await job.enqueue(contentId=str(number))
        with pytest.raises(RateLimitExceeded) as raised:
            await job.enqueue(contentId="eleventh")
        assert raised.value.facts["limit"] == 10


async def test_own_handlers_and_own_numbers_win() -> None:
    app = Windlass("sqlite://:memory:", keep_completed="2d")
    app.queue("video-processing", concurrency=7)

    async def process(contentId: str) -> str:
        return contentId.upper()

    @app.job(**presets.media.work("generate-content").options())
    async def generate(contentId: str) -> None:
        raise Fail("not today")

    presets.apply(app, presets.media, {"process-video": process})
    presets.apply(app, presets.media)
    assert app.capacity.caps["queue:video-processing"].concurrency == 7
    assert app.settings.keep_completed == 2 * 86_400
    async with app:
        retention = await retention_of(await app.store(), app.settings.retention)
        kept = retention.queues["content-generation"]
        assert (kept.completed, kept.failed) == (2 * 86_400 * SECOND, 7 * 86_400 * SECOND)
        assert "video-processing" not in retention.queues, "a queue that the app has declared keeps to the settings"
        ref = await app.enqueue("process-video", contentId="abc")
        failed = await app.enqueue("generate-content", contentId="abc")
        await app.drain()
        assert await ref.result() == "ABC"
        assert (await failed.job()).queue == "content-generation"


async def test_retention_by_count_reaches_the_store() -> None:
    async with app_with(presets.ai_video) as app:
        retention = await retention_of(await app.store(), app.settings.retention)
        for queue in TYPES:
            kept = retention.queues[queue]
            assert (kept.keep_completed, kept.keep_failed) == (10, 50)
        assert (retention.keep_completed, retention.keep_failed) == (None, None), "other queues keep all"


def test_dead_letters_of_the_market_come_back() -> None:
    app = app_with(presets.market)
    for queue in RETRIES:
        assert app.capacity.queues[queue].ladder == (900 * SECOND, 3_600 * SECOND, 21_600 * SECOND)


def test_a_handler_of_no_kind_is_refused() -> None:
    with pytest.raises(InvalidOption, match="no kind 'process-vidoe'"):
        presets.apply(Windlass("sqlite://:memory:"), presets.media, {"process-vidoe": print})
