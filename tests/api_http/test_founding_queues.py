"""The founding paths about queues, dead letters and figures, one test each, with the examples of the documents."""

from datetime import timedelta
from typing import Any

from tests.api_http.founding_kit import ENHANCED, deployed, founded, made, uploaded
from tests.api_http.kit import Door, problem
from tests.store.kit import Place
from windlass.values.clock import instant

STATES = {"waiting", "active", "completed", "failed", "delayed", "blocked", "cancelled"}
SEVEN = {"total", "successful", "failed", "averageDuration", "averageMemory", "totalCost", "totalRetries"}
ITEM = {
    "id", "name", "data", "error", "attempts", "maxAttempts", "failedAt", "queueName", "retryStrategy", "canRetry",
}  # fmt: skip


async def two_failures(door: Door, client: Any) -> tuple[str, str]:
    """Dead letters of `deploy-contract`: one that may be tried again, one that failed for good."""
    temporary, permanent = await deployed(client), await deployed(client, "0xdead")
    await door.app.drain()
    return temporary, permanent


async def hold(door: Door, job: str, later: timedelta) -> None:
    """Stop the store's clock so long after a job has ended."""
    ended = (await door.app.jobs.get(job)).finished_at
    assert ended is not None
    await (await door.app.store()).hold_time(instant(ended + later))


async def test_e01_metrics_of_a_queue(memory: Place) -> None:
    async with founded(memory) as door:
        admin = await door.as_("admin")
        for n in range(3):
            await uploaded(admin, contentId=str(n))
        await door.app.drain()
        for given in ("", "?timeRange=1h", "?timeRange=24h", "?timeRange=7d", "?timeRange=30d"):
            found = (await admin.get(f"/api/jobs/metrics/queue/video-processing{given}")).json()
            assert set(found) >= SEVEN
            assert (found["total"], found["successful"], found["failed"], found["totalRetries"]) == (3, 3, 0, 0)
            assert found["averageDuration"] >= 0
            assert (found["averageMemory"], found["totalCost"], found["currency"]) == (None, 0, "USD")
        problem(await admin.get("/api/jobs/metrics/queue/video-processing?timeRange=2h"), 422, "invalid-parameter")
        problem(await admin.get("/api/jobs/metrics/queue/nowhere"), 404, "queue-not-found")


async def test_e02_metrics_of_the_caller(place: Place) -> None:
    async with founded(place) as door:
        ann, bob = await door.as_(user="ann"), await door.as_(user="bob")
        await uploaded(ann)
        await uploaded(bob)
        await door.app.drain()
        found = (await ann.get("/api/jobs/metrics/user?timeRange=7d")).json()
        assert (found["userId"], found["total"], found["successful"], found["complete"]) == ("ann", 1, 1, True)


async def test_e03_dead_letters(place: Place) -> None:
    async with founded(place) as door:
        admin, user = await door.as_("admin"), await door.as_("user")
        temporary, permanent = await two_failures(door, admin)
        items = (await admin.get("/api/jobs/dead-letter?queueName=deploy-contract&limit=100")).json()["jobs"]
        assert [item["_id"] for item in items] == [permanent, temporary]
        assert (await admin.get("/api/jobs/dead-letter?queueName=video-processing")).json()["jobs"] == []
        assert (await admin.get("/api/jobs/dead-letter?limit=1")).json()["count"] == 1
        assert (await user.get("/api/jobs/dead-letter")).json()["jobs"] == []


async def test_e04_retry_a_dead_letter(memory: Place) -> None:
    async with founded(memory) as door:
        admin = await door.as_("admin")
        id, _ = await two_failures(door, admin)
        answer = (await admin.post(f"/api/jobs/dead-letter/{id}/retry")).json()
        assert (answer["success"], answer["_id"], answer["state"]) == (True, id, "waiting")
        problem(await admin.post(f"/api/jobs/dead-letter/{id}/retry"), 409, "wrong-state")


async def test_e05_clean_up_dead_letters(memory: Place) -> None:
    async with founded(memory) as door:
        admin = await door.as_("admin")
        id, _ = await two_failures(door, admin)
        assert (await admin.post("/api/jobs/dead-letter/cleanup")).json()["deleted"] == 0
        await hold(door, id, timedelta(days=31))
        assert (await admin.post("/api/jobs/dead-letter/cleanup", json={"days": 30})).json() == {
            "success": True,
            "deleted": 2,
            "olderThanDays": 30,
        }


async def test_e09_dashboard(memory: Place) -> None:
    async with founded(memory) as door:
        admin = await door.as_("admin")
        await two_failures(door, admin)
        found = (await admin.get("/api/jobs/dashboard")).json()
        assert found["deadLetters"] == found["totals"]["failed"] == found["queues"]["deploy-contract"]["failed"] == 2
        assert len(found["recentFailures"]) == 2
        assert found["metrics"]["failed"] == 2
        assert found["workers"] == []
        narrow = await door.as_("admin", permissions=["queues:read"])
        assert set((await narrow.get("/api/jobs/dashboard")).json()) == {"queues", "totals", "paused", "deadLetters"}


async def test_e10_statistics_of_all_queues(memory: Place) -> None:
    async with founded(memory) as door:
        admin = await door.as_("admin")
        await uploaded(admin)
        found = (await admin.get("/api/jobs/dashboard/stats")).json()
        assert set(found["video-processing"]) == STATES
        assert found["video-processing"]["waiting"] == 1


async def test_e13_statistics_of_a_queue(memory: Place) -> None:
    async with founded(memory) as door:
        admin = await door.as_("admin")
        await made(admin, f"{ENHANCED}/video-processing/jobs", {"name": "process-video", "data": {}, "delay": 1000})
        found = (await admin.get("/api/jobs/stats/video-processing")).json()
        assert (found["queueName"], found["delayed"], found["waiting"]) == ("video-processing", 1, 0)
        problem(await admin.get("/api/jobs/stats/nowhere"), 404, "queue-not-found")


async def test_c15_the_queue_dead_letter(memory: Place) -> None:
    async with founded(memory) as door:
        admin = await door.as_("admin")
        await two_failures(door, admin)
        every = (await admin.get("/api/jobs/queues/stats")).json()
        assert (every["dead-letter"]["failed"], every["deploy-contract"]["failed"]) == (2, 2)
        one = (await admin.get("/api/jobs/stats/dead-letter")).json()
        assert (one["queueName"], one["failed"], one["waiting"]) == ("dead-letter", 2, 0)
        totals = (await admin.get("/api/jobs/stats")).json()["totals"]
        assert totals["failed"] == 2, "a job counts once"


async def test_e26_statistics(place: Place) -> None:
    async with founded(place) as door:
        admin = await door.as_("admin")
        await made(admin)
        await two_failures(door, admin)
        await made(admin)
        found = (await admin.get("/api/jobs/stats")).json()
        jobs = found["jobs"]
        assert (jobs["byType"]["deploy"]["failed"], jobs["byType"]["video-generation"]["completed"]) == (2, 1)
        assert jobs["byType"]["video-generation"]["waiting"] == 1
        assert jobs["byUser"] == {"user-123": 1}
        assert jobs["priorities"]["distribution"] == {"critical": 0, "high": 1, "normal": 0, "low": 0}
        assert sum(step["failed"] for step in jobs["trend"]) == 2
        assert found["queues"]["deploy-contract"]["failed"] == found["totals"]["failed"] == 2


async def test_e27_queue_statistics(memory: Place) -> None:
    async with founded(memory) as door:
        client = await door.as_("operator")
        await made(client)
        found = (await client.get("/api/jobs/queues/stats")).json()
        assert found["video-generation"]["waiting"] == 1


async def test_e28_health(memory: Place) -> None:
    async with founded(memory) as door:
        client = await door.as_("operator")
        await made(client)
        found = (await client.get("/api/jobs/health")).json()
        assert found["status"] in ("healthy", "degraded", "unhealthy")
        queue = found["queues"]["video-generation"]
        assert queue["metrics"]["waiting"] == 1
        assert queue["issues"] and queue["recommendations"], "a job waits and no worker is there"


async def test_e29_performance(memory: Place) -> None:
    async with founded(memory) as door:
        client = await door.as_("operator")
        await made(client)
        await door.app.drain()
        found = (await client.get("/api/jobs/performance?timeRange=1h")).json()
        assert set(found["processingTime"]) == {"average", "median", "p95", "p99", "count"}
        assert (found["processingTime"]["count"], found["errorRate"]) == (1, 0)
        assert found["throughput"]["jobsPerMinute"] > 0
        assert found["waitTime"]["count"] == 1


async def test_e30_pause(memory: Place) -> None:
    async with founded(memory) as door:
        client = await door.as_("operator")
        id = await made(client)
        answer = (await client.post("/api/jobs/queues/video-generation/pause")).json()
        assert answer == {"success": True, "queueName": "video-generation", "isPaused": True}
        await door.app.drain()
        assert (await client.get(f"/api/jobs/video-generation/{id}")).json()["state"] == "waiting"


async def test_e31_resume(memory: Place) -> None:
    async with founded(memory) as door:
        client = await door.as_("operator")
        id = await made(client)
        await client.post("/api/jobs/queues/video-generation/pause")
        assert (await client.post("/api/jobs/queues/video-generation/resume")).json()["isPaused"] is False
        await door.app.drain()
        assert (await client.get(f"/api/jobs/video-generation/{id}")).json()["state"] == "completed"


async def test_e32_clear(place: Place) -> None:
    async with founded(place) as door:
        client = await door.as_("operator")
        done = await made(client)
        await door.app.drain()
        for delay in (0, 60_000):
            await made(client, "/api/jobs/video-generation", {"data": {"prompt": "x"}, "delay": delay})
        dry = (await client.delete("/api/jobs/queues/video-generation/clear?dryRun=true")).json()
        assert (dry["matching"], dry["cleared"]) == (2, 0)
        assert (await client.delete("/api/jobs/queues/video-generation/clear")).json()["cleared"] == 2
        assert (await client.get(f"/api/jobs/video-generation/{done}")).status_code == 200
        problem(await client.delete("/api/jobs/queues/video-generation/clear?states=active"), 422, "invalid-parameter")


async def test_e33_types(memory: Place) -> None:
    async with founded(memory) as door:
        client = await door.as_("user")
        found = (await client.get("/api/jobs/types")).json()
        types = {each["jobType"]: each for each in found["types"]}
        assert types["video-generation"]["queueName"] == "video-generation"
        assert types["add"]["schema"] == (await client.get("/api/v1/kinds/add")).json()["schema"] != {}


async def test_e34_metrics(memory: Place) -> None:
    async with founded(memory) as door:
        client = await door.as_("operator")
        await two_failures(door, client)
        found = (await client.get(f"{ENHANCED}/deploy-contract/metrics")).json()
        assert found["metrics"]["successRate"] == 0
        assert found["metrics"]["averageProcessingTime"] == found["averageDuration"]
        assert found["counts"]["failed"] == found["failed"] == 2


async def test_e35_health_of_a_queue(memory: Place) -> None:
    async with founded(memory) as door:
        client = await door.as_("operator")
        await made(client, "/api/jobs/tts-process", {"text": "Hello world", "voiceId": "voice-123"})
        found = (await client.get(f"{ENHANCED}/process-tts/health")).json()
        assert found["status"] != "healthy"
        assert found["issues"]
        problem(await client.get(f"{ENHANCED}/nowhere/health"), 404, "queue-not-found")


async def test_e36_performance_of_a_queue(memory: Place) -> None:
    async with founded(memory) as door:
        client = await door.as_("operator")
        await two_failures(door, client)
        await made(client)
        await door.app.drain()
        found = (await client.get(f"{ENHANCED}/deploy-contract/performance")).json()
        assert (found["queueName"], found["errorRate"], set(found["byType"])) == ("deploy-contract", 1, {"deploy"})


async def test_e37_all_metrics(memory: Place) -> None:
    async with founded(memory) as door:
        client = await door.as_("operator")
        await two_failures(door, client)
        await made(client)
        await door.app.drain()
        found = (await client.get(f"{ENHANCED}/metrics/all")).json()
        assert found["queues"]["deploy-contract"]["failed"] == 2
        assert (found["totals"]["total"], found["totals"]["successful"]) == (3, 1)


async def test_e38_items(memory: Place) -> None:
    async with founded(memory) as door:
        client = await door.as_("operator")
        temporary, permanent = await two_failures(door, client)
        items = {item["id"]: item for item in (await client.get(f"{ENHANCED}/deploy-contract/dlq")).json()["items"]}
        assert set(items[temporary]) == {*ITEM, "_id", "nextRetryAt"}
        assert set(items[permanent]) == {*ITEM, "_id"}
        item = items[temporary]
        assert (item["name"], item["error"], item["attempts"]) == ("deploy", "OSError: the chain is unreachable", 1)
        assert item["retryStrategy"] == {
            "type": "exponential",
            "delay": 5000,
            "maxAttempts": 1,
            "backoffMultiplier": 2,
            "maxDelay": 300000,
        }
        assert (item["canRetry"], items[permanent]["canRetry"]) == (True, False)


async def test_e39_dead_letter_statistics(memory: Place) -> None:
    async with founded(memory) as door:
        client = await door.as_("operator")
        await two_failures(door, client)
        found = (await client.get(f"{ENHANCED}/deploy-contract/dlq/stats")).json()
        assert (found["total"], found["retryable"], found["nonRetryable"]) == (2, 1, 1)
        assert found["byError"] == {"OSError": 1, "Fail": 1}


async def test_e40_retry_an_item(memory: Place) -> None:
    async with founded(memory) as door:
        client = await door.as_("operator")
        id, _ = await two_failures(door, client)
        problem(await client.post(f"{ENHANCED}/process-tts/dlq/{id}/retry"), 404, "job-not-found")
        assert (await client.post(f"{ENHANCED}/deploy-contract/dlq/{id}/retry")).json()["success"] is True


async def test_e41_process_retries(place: Place) -> None:
    async with founded(place) as door:
        client = await door.as_("operator")
        id, _ = await two_failures(door, client)
        address = f"{ENHANCED}/deploy-contract/dlq/process-retries"
        assert (await client.post(address)).json()["retried"] == []
        for later in (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=6)):
            await hold(door, id, later - timedelta(seconds=1))
            assert (await client.post(address)).json()["retried"] == []
            await hold(door, id, later + timedelta(seconds=1))
            assert (await client.post(address)).json()["retried"] == [id]
            assert (await client.post(address)).json()["retried"] == []
            await door.app.drain()
        await hold(door, id, timedelta(days=3))
        assert (await client.post(address)).json()["retried"] == [], "three times at most"


async def test_e42_purge(place: Place) -> None:
    async with founded(place) as door:
        client = await door.as_("operator")
        id, _ = await two_failures(door, client)
        await hold(door, id, timedelta(days=31))
        assert (await client.delete(f"{ENHANCED}/process-tts/dlq/purge")).json()["deleted"] == 0
        assert (await client.delete(f"{ENHANCED}/deploy-contract/dlq/purge?olderThanDays=32")).json()["deleted"] == 0
        kept = (await client.delete(f"{ENHANCED}/deploy-contract/dlq/purge")).json()
        assert kept == {"success": True, "deleted": 0, "olderThanDays": 90}, "at 30 days they are archived"
        assert (await client.delete(f"{ENHANCED}/deploy-contract/dlq/purge?olderThanDays=30")).json()["deleted"] == 2


async def test_e44_priorities(place: Place) -> None:
    async with founded(place) as door:
        client = await door.as_("operator")
        await deployed(client)
        await deployed(client, environment="staging")
        found = (await client.get(f"{ENHANCED}/deploy-contract/priority-distribution")).json()
        assert found["distribution"] == {"critical": 1, "high": 1, "normal": 0, "low": 0}
        assert (found["total"], found["byNumber"], found["complete"]) == (2, {"10": 1, "5": 1}, True)


async def test_e45_queue_in_detail(memory: Place) -> None:
    async with founded(memory) as door:
        admin = await door.as_("admin")
        await uploaded(admin)
        found = (await admin.get("/api/jobs/queues/video-processing")).json()
        assert (found["isPaused"], found["counts"]["waiting"]) == (False, 1)
        assert (found["concurrency"], found["rateLimit"]) == (2, "5/m")
        assert found["priorities"]["distribution"]["high"] == 1


async def test_e46_clear(memory: Place) -> None:
    async with founded(memory) as door:
        admin = await door.as_("admin")
        await two_failures(door, admin)
        await deployed(admin)
        assert (await admin.delete("/api/jobs/queues/deploy-contract?states=failed")).json()["cleared"] == 2
        assert (await admin.delete("/api/jobs/queues/deploy-contract")).json()["cleared"] == 1
