"""The functions of the founding documents, P01 to P39, one test each, with the documents' own examples."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.store.kit import Place
from tests.store.places import place_for
from tests.waiting import until
from windlass import Fail, InvalidArgs, InvalidOption, JobNotFound, RateLimitExceeded, Windlass, compat, presets
from windlass.values.clock import instant

UPLOAD = {
    "contentId": "content-id",
    "videoPath": "/path/to/video.mp4",
    "user": {"_id": "user-id", "email": "user@example.com"},
}
CONTRACT = {
    "environment": "production",
    "contractCode": "0x123...",
    "metadata": {"tags": ["urgent", "production"]},
}
SPEECH = {
    "text": "Hello world",
    "voiceId": "voice-123",
    "realTime": True,
    "retryStrategy": {"type": "exponential", "delay": 1000, "maxAttempts": 5},
}
FILE = {
    "fileId": "file-123",
    "fileUrl": "https://storage.example.com/file.pdf",
    "fileName": "document.pdf",
    "fileType": "application/pdf",
    "fileSize": 1024000,
    "userId": "user-123",
    "processingType": "virus_scan",
}
CHRISTMAS = datetime(2124, 12, 25, 10, tzinfo=UTC)


@pytest.fixture
def place() -> Iterator[Place]:
    with place_for("sqlite-memory") as place:
        yield place


@asynccontextmanager
async def using(place: Place) -> AsyncIterator[Windlass]:
    app = compat.use(Windlass(place.url, namespace=place.namespace))

    @app.job(**presets.media.work("video-processing").options())
    async def process_video(**data: Any) -> str:
        return "done"

    @app.job(**{**presets.market.work("deploy").options(), "max_attempts": 1})  # type: ignore[arg-type]
    async def deploy(**data: Any) -> None:
        if data.get("contractCode") == "0xdead":
            raise Fail("the contract is broken")
        raise OSError("the chain is unreachable")

    for preset in presets.PRESETS:
        presets.apply(app, preset)
    async with app:
        yield app


async def failed(app: Windlass, code: str = "0x123...") -> str:
    ref = await compat.add_job("deploy-contract", "deploy", {**CONTRACT, "contractCode": code})
    await app.drain()
    return ref.id


async def test_p01_get_queue_metrics(place: Place) -> None:
    async with using(place) as app:
        await compat.add_video_processing_job(UPLOAD)
        await app.drain()
        found = await compat.get_queue_metrics("video-processing", "24h")
        assert (found["total"], found["successful"], found["failed"], found["totalRetries"]) == (1, 1, 0, 0)
        assert found["averageDuration"] >= 0
        assert (found["averageMemory"], found["totalCost"]) == (None, 0)
        with pytest.raises(InvalidOption, match="timeRange"):
            await compat.get_queue_metrics("video-processing", "2h")


async def test_p02_get_user_job_metrics(place: Place) -> None:
    async with using(place) as app:
        await compat.add_video_processing_job(UPLOAD, {"user_id": "ann"})
        await compat.add_video_processing_job(UPLOAD, {"userId": "bob"})
        await app.drain()
        found = await compat.get_user_job_metrics("ann", "7d")
        assert (found["total"], found["successful"], found["complete"]) == (1, 1, True)


async def test_p03_add_dependent_job(place: Place) -> None:
    async with using(place) as app:
        parent = await compat.add_video_processing_job(UPLOAD)
        job = {"queueName": "content-generation", "name": "generate-content", "data": {"contentId": "123"}}
        child = await compat.add_dependent_job(job, parent.id, "video-processing")
        assert (await child.job()).state == "blocked"
        await app.drain()
        assert (await child.job()).state in ("waiting", "active")
        with pytest.raises(JobNotFound):
            await compat.add_dependent_job(job, parent.id, "email-sending")


async def test_p04_chain_jobs(place: Place) -> None:
    async with using(place):
        names = ("process-video", "generate-transcript", "generate-content")
        queues = ("video-processing", "transcript-generation", "content-generation")
        refs = await compat.chain_jobs(
            [{"queueName": queue, "name": name, "data": {}} for queue, name in zip(queues, names, strict=True)]
        )
        jobs = [await ref.job() for ref in refs]
        assert [job.kind for job in jobs] == list(names)
        assert [job.parents for job in jobs] == [(), (refs[0].id,), (refs[1].id,)]
        assert await compat.chain_jobs([]) == []


async def test_p05_add_batch_jobs(place: Place) -> None:
    async with using(place):
        to = [f"user{n}@example.com" for n in (1, 2, 3)]
        refs = await compat.add_batch_jobs(
            "email-sending", [{"name": "send-email", "data": {"to": each}} for each in to]
        )
        assert [(await ref.job()).args for ref in refs] == [{"to": each} for each in to]


async def test_p06_create_batch_job(place: Place) -> None:
    async with using(place) as app:
        sizes: list[int] = []

        async def process_batch(items: list[int]) -> int:
            sizes.append(len(items))
            return sum(items)

        flow = await compat.create_batch_job("content-generation", range(25), process_batch, {"batchSize": 10})
        await app.drain()
        assert sorted(sizes) == [5, 10, 10]
        assert (await flow.status()).state == "completed"
        with pytest.raises(InvalidOption):
            await compat.create_batch_job("content-generation", [1], process_batch, {"batchSize": 0})


async def test_p07_get_dead_letter_jobs(place: Place) -> None:
    async with using(place) as app:
        id = await failed(app)
        (item,) = await compat.get_dead_letter_jobs("deploy-contract")
        assert (item["_id"], item["name"], item["error"]) == (id, "deploy", "OSError: the chain is unreachable")
        assert await compat.get_dead_letter_jobs("video-processing") == []
        assert len(await compat.get_dead_letter_jobs()) == 1


async def test_p08_retry_dead_letter_job(place: Place) -> None:
    async with using(place) as app:
        id = await failed(app)
        with pytest.raises(JobNotFound):
            await compat.retry_dead_letter_job(id, "video-processing")
        assert (await (await compat.retry_dead_letter_job(id, "deploy-contract")).job()).state == "waiting"
        await app.drain()
        for job in await compat.get_dead_letter_jobs():
            await compat.retry_dead_letter_job(job["_id"])
        assert await compat.get_dead_letter_jobs() == []


async def test_p09_cleanup_dead_letter_jobs(place: Place) -> None:
    async with using(place) as app:
        job = await app.jobs.get(await failed(app))
        assert await compat.cleanup_dead_letter_jobs(30) == 0
        assert job.finished_at is not None
        await (await app.store()).hold_time(instant(job.finished_at + timedelta(days=31)))
        assert await compat.cleanup_dead_letter_jobs(30) == 1


async def test_p10_add_job_with_rate_limit(place: Place) -> None:
    async with using(place):
        limits = {"rateLimits": {"video-processing": {"max": 5, "window": 3600000}}}
        job = {"name": "process-video", "data": UPLOAD}
        for n in range(5):
            found = await compat.add_job_with_rate_limit("video-processing", job, "ann", limits)
            assert (found["rateLimit"]["count"], found["rateLimit"]["limit"]) == (n + 1, 5)
            assert (await found["job"].job()).user == "ann"
        with pytest.raises(RateLimitExceeded):
            await compat.add_job_with_rate_limit("video-processing", job, "ann", limits)
        other = await compat.add_job_with_rate_limit("video-processing", job, "bob")
        assert (other["rateLimit"]["count"], other["rateLimit"]["limit"]) == (1, 10)


async def test_p11_get_user_rate_limit_status(place: Place) -> None:
    async with using(place):
        for name, most in (("video-processing", 10), ("content-generation", 50), ("transcript-generation", 20)):
            found = await compat.get_user_rate_limit_status("ann", name)
            assert found is not None
            assert set(found) == {"count", "limit", "remaining", "resetAt"}
            assert (found["count"], found["limit"], found["remaining"]) == (0, most, most)
        await compat.add_job_with_rate_limit("social-posting", {"name": "social-posting", "data": {}}, "ann")
        found = await compat.get_user_rate_limit_status("ann", "social-posting")
        assert found is not None and (found["count"], found["remaining"]) == (1, 99)
        assert await compat.get_user_rate_limit_status("ann", "scheduled-posts") is None


async def test_p12_add_video_processing_job(place: Place) -> None:
    async with using(place):
        job = await (await compat.add_video_processing_job(UPLOAD, {"priority": compat.JOB_PRIORITY.HIGH})).job()
        assert (job.queue, job.kind, job.args, job.priority) == ("video-processing", "process-video", UPLOAD, 5)


async def test_p13_add_content_generation_job(place: Place) -> None:
    async with using(place):
        data = {"contentId": "content-id", "text": "Input text...", "platforms": ["twitter", "linkedin"]}
        job = await (await compat.add_content_generation_job(data)).job()
        assert (job.queue, job.kind, job.args) == ("content-generation", "generate-content", data)


async def test_p14_add_email_job(place: Place) -> None:
    async with using(place):
        plain = {"to": "user@example.com", "subject": "Welcome!", "template": "welcome", "data": {"name": "John"}}
        job = await (await compat.add_email_job(plain)).job()
        assert (job.queue, job.kind, job.args, job.priority) == ("email-sending", "send-email", plain, 0)
        ranked = {"to": ["a@example.com", "b@example.com"], "template": "welcome", "priority": "high"}
        job = await (await compat.add_email_job(ranked)).job()
        assert (job.priority, "priority" in job.args) == (5, False)
        with pytest.raises(InvalidArgs, match="somebody"):
            await compat.add_email_job({"subject": "Welcome!"})


async def test_p15_add_transcript_job(place: Place) -> None:
    async with using(place):
        data = {"contentId": "c", "videoUrl": "https://example.com/video.mp4", "language": "en", "userId": "user-id"}
        job = await (await compat.add_transcript_job(data)).job()
        assert (job.queue, job.args, job.user) == ("transcript-generation", data, "user-id")


async def test_p16_add_social_post_job(place: Place) -> None:
    async with using(place):
        data = {"userId": "user-id", "platforms": ["twitter"], "content": {"text": "Post content..."}}
        job = await (await compat.add_social_post_job(data)).job()
        assert (job.queue, job.kind) == ("social-posting", "social-posting")


async def test_p17_add_scheduled_post_job(place: Place) -> None:
    async with using(place):
        job = await (await compat.add_scheduled_post_job({"content": {"text": "Scheduled..."}}, CHRISTMAS)).job()
        assert (job.queue, job.state, job.run_at) == ("scheduled-posts", "delayed", CHRISTMAS)


async def test_p18_add_file_processing_job(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async with using(place):
        job = await (await compat.add_file_processing_job(FILE)).job()
        assert (job.queue, job.args, job.priority) == ("file-processing", FILE, 5)
        monkeypatch.setenv("MAX_FILE_SIZE", "104857600")
        monkeypatch.setenv("ALLOWED_FILE_TYPES", "image/jpeg,image/png,application/pdf")
        await compat.add_file_processing_job(FILE)
        for wrong in ({"fileSize": 104857601}, {"fileType": "text/html"}):
            with pytest.raises(InvalidArgs):
                await compat.add_file_processing_job({**FILE, **wrong})


async def test_p19_add_analytics_job(place: Place) -> None:
    async with using(place):
        dates = {"start": "2024-01-01T00:00:00Z", "end": "2024-01-01T23:59:59Z"}
        data = {"type": "daily", "dateRange": dates, "metrics": ["page_views", "purchases"]}
        job = await (await compat.add_analytics_job(data)).job()
        assert (job.queue, job.args, job.priority) == ("analytics-aggregation", data, -5)


async def test_p20_add_job(place: Place) -> None:
    async with using(place):
        options = {"priority": 7, "delay": 5000, "attempts": 4, "backoff": {"type": "fixed", "delay": 2000}}
        job = await (await compat.add_job("email-sending", {"name": "send-email", "data": {"to": "a"}}, options)).job()
        assert (job.priority, job.max_attempts, job.options["backoff"]["base"]) == (7, 4, 2.0)
        assert job.run_at is not None and job.run_at - job.created_at == timedelta(seconds=5)
        with pytest.raises(InvalidOption, match="removeOnComplete"):
            await compat.add_job("email-sending", {"name": "send-email"}, {"removeOnComplete": 10})


async def test_p21_queue_service_add_job(place: Place) -> None:
    async with using(place):
        job = await (await compat.queue_service.add_job("deploy-contract", "deploy", CONTRACT)).job()
        assert (job.queue, job.kind, job.args, job.priority) == ("deploy-contract", "deploy", CONTRACT, 10)


async def test_p22_queue_service_add_enhanced_job(place: Place) -> None:
    async with using(place):
        options = {"delay": 5000, "priority": {"level": "high", "weight": 10}}
        job = await (await compat.queue_service.add_enhanced_job("process-tts", "tts-process", SPEECH, options)).job()
        assert (job.priority, job.max_attempts, job.options["backoff"]["base"]) == (5, 5, 1.0)
        assert "retryStrategy" not in job.args


def test_p23_job_priority() -> None:
    levels = compat.JOB_PRIORITY
    assert (levels.CRITICAL, levels.HIGH, levels.NORMAL, levels.LOW) == (10, 5, 0, -5)
    assert compat.PRIORITY_WEIGHTS == {"low": 1, "normal": 5, "high": 10, "critical": 20}


def test_p24_queue_names() -> None:
    assert compat.QUEUE_NAMES["VIDEO_PROCESSING"] == "video-processing"
    assert len(compat.QUEUE_NAMES) == 25
    assert compat.CONCURRENT_LIMITS["user"] == {"free": 1, "basic": 2, "pro": 5, "enterprise": 10}
    assert compat.QUEUE_CONFIG["defaultJobOptions"]["removeOnFail"] == 50


async def test_p25_get_job_status(place: Place) -> None:
    async with using(place):
        ref = await compat.add_video_processing_job(UPLOAD)
        found = await compat.get_job_status("video-processing", ref.id)
        assert (found["id"], found["state"], found["progress"], found["attemptsMade"]) == (ref.id, "waiting", 0, 0)
        with pytest.raises(JobNotFound):
            await compat.get_job_status("email-sending", ref.id)


async def test_p26_schedule_job(place: Place) -> None:
    async with using(place):
        job = {"name": "send-email", "data": {"to": "user@example.com"}}
        for at in (CHRISTMAS, "2124-12-25T10:00:00Z"):
            assert (await (await compat.schedule_job("email-sending", job, at)).job()).run_at == CHRISTMAS
        with pytest.raises(InvalidOption, match="zone"):
            await compat.schedule_job("email-sending", job, "2124-12-25T10:00:00")


async def test_p27_get_all_queue_stats(place: Place) -> None:
    async with using(place) as app:
        await compat.add_video_processing_job(UPLOAD)
        await failed(app)
        stats = await compat.get_all_queue_stats()
        five = {"waiting", "active", "completed", "failed", "delayed"}
        assert set(stats["video-processing"]) == five | {"blocked", "cancelled"}
        assert (stats["video-processing"]["completed"], stats["deploy-contract"]["failed"]) == (1, 1)


async def test_p27_a_job_between_attempts_is_delayed(place: Place) -> None:
    async with using(place) as app:
        await compat.add_job("deploy-contract", "deploy", CONTRACT, {"attempts": 3})
        await app.drain()
        assert (await compat.get_all_queue_stats())["deploy-contract"]["delayed"] == 1
        assert (await app.queues.stats())["deploy-contract"]["retrying"] == 1


async def test_p28_clean_all_queues(place: Place) -> None:
    async with using(place) as app:
        ref = await compat.add_video_processing_job(UPLOAD)
        await app.drain()
        assert await compat.clean_all_queues() == 0
        ended = (await ref.job()).finished_at
        assert ended is not None
        await (await app.store()).hold_time(instant(ended + timedelta(hours=25)))
        assert await compat.clean_all_queues() >= 1


async def test_p29_initialize_workers(place: Place) -> None:
    async with using(place):
        workers = compat.initialize_workers()
        ref = await compat.add_video_processing_job(UPLOAD)
        assert await ref.result(timeout="10s") == "done"
        assert [worker.is_running for worker in workers] == [True]
        await workers[0].stop()
        assert not workers[0].is_running


async def test_p30_initialize_scheduler(place: Place) -> None:
    async with using(place) as app:
        deployed = await compat.initialize_scheduler()
        assert "marketplace.daily-reports" in deployed.put
        assert (await app.schedules.get("marketplace.daily-reports")).when == "0 6 * * *"
        assert (await compat.initialize_scheduler()).put == []


async def test_p31_create_worker(place: Place) -> None:
    async with using(place):

        def process(data: dict[str, Any], job: compat.QueueJob) -> dict[str, Any]:
            return {"success": True, "name": job.name, "made": job.attempts_made, "data": data}

        worker = compat.create_worker("transcript-generation", process, {"concurrency": 3})
        one = await compat.add_transcript_job({"contentId": "c"})
        other = await compat.add_job("transcript-generation", {"name": "another", "data": {"contentId": "d"}})
        assert await worker.drain() == 2
        assert await one.result() == {
            "success": True,
            "name": "generate-transcript",
            "made": 0,
            "data": {"contentId": "c"},
        }
        assert (await other.result())["name"] == "another"
        assert worker.concurrency == 3
        with pytest.raises(InvalidOption):
            compat.create_worker("transcript-generation", process, {"concurrency": 0})


async def test_p32_update_progress(place: Place) -> None:
    async with using(place):

        async def process(data: dict[str, Any], job: compat.QueueJob) -> None:
            await job.update_progress(50)
            raise Fail("half way")

        worker = compat.create_worker("my-new-queue", process)
        ref = await compat.add_job("my-new-queue", {"name": "my-job", "data": {}})
        await worker.drain()
        assert (await compat.get_job_status("my-new-queue", ref.id))["progress"] == 50


async def test_p33_queue_service_get_queue_metrics(place: Place) -> None:
    async with using(place) as app:
        await failed(app)
        found = await compat.queue_service.get_queue_metrics("deploy-contract")
        assert found["metrics"]["successRate"] == 0
        assert found["metrics"]["averageProcessingTime"] == found["averageDuration"]
        assert found["counts"]["failed"] == 1


async def test_p34_queue_service_get_queue_health(place: Place) -> None:
    async with using(place):
        await compat.queue_service.add_job("process-tts", "tts-process", SPEECH)
        health = await compat.queue_service.get_queue_health("process-tts")
        assert health["status"] != "healthy"
        assert health["issues"] and health["recommendations"]


async def test_p35_queue_service_dead_letters(place: Place) -> None:
    async with using(place) as app:
        service = compat.queue_service
        id = await failed(app)
        hopeless = await failed(app, "0xdead")
        items = {item["id"]: item for item in await service.get_enhanced_dlq("deploy-contract", 50)}
        assert (items[id]["canRetry"], items[hopeless]["canRetry"]) == (True, False)
        assert await service.process_scheduled_retries("deploy-contract") == []
        await (await app.store()).hold_time(instant(items[id]["nextRetryAt"]))
        assert await service.process_scheduled_retries("deploy-contract") == [id]
        assert await service.retry_from_enhanced_dlq("deploy-contract", hopeless) is True
        assert await service.retry_from_enhanced_dlq("deploy-contract", "dlq_123") is False


async def test_p36_the_tutorial(place: Place) -> None:
    """A queue of one's own, as the document has it."""
    async with using(place):

        async def process_my_job(job_data: dict[str, Any], job: compat.QueueJob) -> dict[str, Any]:
            await job.update_progress(50)
            await job.update_progress(100)
            return {"success": True}

        def initialize_my_worker() -> compat.QueueWorker:
            return compat.create_worker("my-new-queue", process_my_job, {"concurrency": 3})

        async def add_my_job(data: dict[str, Any], options: dict[str, Any] | None = None) -> Any:
            return await compat.add_job("my-new-queue", {"name": "my-job", "data": data}, options)

        initialize_my_worker()
        workers = compat.initialize_workers()
        ref = await add_my_job({"n": 1})
        assert await ref.result(timeout="10s") == {"success": True}
        status = await compat.get_job_status("my-new-queue", ref.id)
        assert (status["name"], status["progress"]) == ("my-job", 100)
        for worker in workers:
            await worker.stop()
        await until(lambda: not any(worker.is_running for worker in workers), "the workers to leave")


async def test_p37_send_welcome_email(place: Place) -> None:
    async with using(place):
        ref = await compat.email_service.send_welcome_email(
            "user@example.com", "John Doe", "https://marketplace.example.com"
        )
        data = {"name": "John Doe", "url": "https://marketplace.example.com"}
        assert (await ref.job()).args == {"to": "user@example.com", "template": "welcome", "data": data}


async def test_p38_process_file(place: Place) -> None:
    async with using(place):
        wanted = {"generateThumbnail": True, "optimizeImage": True, "scanForViruses": True}
        url = "https://storage.example.com/file.jpg"
        refs = await compat.file_processing_service.process_file(
            "file-123", url, "file.jpg", "image/jpeg", 1024000, "user-123", "product-123", wanted
        )
        jobs = [await ref.job() for ref in refs]
        steps = [job.args["processingType"] for job in jobs]
        assert steps == ["virus_scan", "image_optimization", "thumbnail"]
        assert [len(job.parents) for job in jobs] == [0, 1, 1]
        assert {job.args["productId"] for job in jobs} == {"product-123"}


async def test_p39_schedule_custom_analytics_aggregation(place: Place) -> None:
    async with using(place):
        ref = await compat.cron_service.schedule_custom_analytics_aggregation(
            "daily", "2024-01-01", "2024-01-31", ["page_views", "conversion_rate"]
        )
        job = await ref.job()
        assert job.args["dateRange"] == {"start": "2024-01-01", "end": "2024-01-31"}
        assert job.queue == "analytics-aggregation"


def test_each_function_has_its_test() -> None:
    found = re.findall(r"^(?:async )?def test_(p\d\d)_", Path(__file__).read_text(), re.M)
    assert sorted(set(found)) == [f"p{n:02}" for n in range(1, 40)]
    assert all(getattr(compat, name) is not None for name in compat.__all__)
