"""The founding paths about jobs, one test each, with the examples of the documents."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.api_http.founding_kit import (
    ANALYSIS,
    ENHANCED,
    IMAGE,
    SPEECH,
    UPLOAD,
    VIDEO,
    deployed,
    founded,
    made,
    uploaded,
)
from tests.api_http.kit import problem
from tests.store.kit import Place
from tests.waiting import until


async def test_e06_own_jobs(memory: Place) -> None:
    async with founded(memory) as door:
        ann, bob = await door.as_(user="ann"), await door.as_(user="bob")
        mine = await uploaded(ann)
        await uploaded(bob)
        page = (await ann.get("/api/jobs/user")).json()
        assert ([job["id"] for job in page["jobs"]], page["count"], page["nextCursor"]) == ([mine], 1, None)


async def test_e07_own_job(memory: Place) -> None:
    async with founded(memory) as door:
        ann, bob = await door.as_(user="ann"), await door.as_(user="bob")
        id = await uploaded(ann)
        job = (await ann.get(f"/api/jobs/user/{id}")).json()
        assert (job["id"], job["state"], job["progress"], job["attemptsMade"]) == (id, "waiting", 0, 0)
        assert (job["data"], job["maxAttempts"], job["priority"]) == (UPLOAD, 3, 5)
        problem(await bob.get(f"/api/jobs/user/{id}"), 404, "job-not-found")


async def test_e08_cancel_own_job(memory: Place) -> None:
    async with founded(memory) as door:
        ann, bob = await door.as_(user="ann"), await door.as_(user="bob")
        id = await uploaded(ann)
        problem(await bob.post(f"/api/jobs/user/{id}/cancel"), 404, "job-not-found")
        answer = (await ann.post(f"/api/jobs/user/{id}/cancel")).json()
        assert (answer["success"], answer["state"]) == (True, "cancelled")


async def test_e11_jobs_of_a_queue(place: Place) -> None:
    async with founded(place) as door:
        admin = await door.as_("admin")
        ids = [await uploaded(admin, contentId=str(n)) for n in range(3)]
        await made(admin)
        first = (await admin.get("/api/jobs/dashboard/jobs/video-processing?limit=2")).json()
        rest = await admin.get(f"/api/jobs/dashboard/jobs/video-processing?limit=2&cursor={first['nextCursor']}")
        assert [job["id"] for job in first["jobs"] + rest.json()["jobs"]] == ids[::-1]
        delayed = await admin.get("/api/jobs/dashboard/jobs/video-processing?state=delayed")
        assert delayed.json()["jobs"] == []


async def test_e12_status(memory: Place) -> None:
    async with founded(memory) as door:
        admin = await door.as_("admin")
        id = await uploaded(admin)
        await door.app.drain()
        job = (await admin.get(f"/api/jobs/status/video-processing/{id}")).json()
        assert (job["state"], job["progress"], job["result"]) == ("completed", 100, {"success": True})
        problem(await admin.get(f"/api/jobs/status/email-sending/{id}"), 404, "job-not-found")


async def test_e14_cancel(memory: Place) -> None:
    async with founded(memory) as door:
        admin = await door.as_("admin")
        id = await uploaded(admin)
        problem(await admin.post(f"/api/jobs/cancel/email-sending/{id}"), 404, "job-not-found")
        assert (await admin.post(f"/api/jobs/cancel/video-processing/{id}")).json()["state"] == "cancelled"
        problem(await admin.post(f"/api/jobs/cancel/video-processing/{id}"), 409, "wrong-state")


async def test_e15_retry(memory: Place) -> None:
    async with founded(memory) as door:
        admin = await door.as_("admin")
        id = await deployed(admin)
        await door.app.drain()
        answer = (await admin.post(f"/api/jobs/retry/deploy-contract/{id}")).json()
        assert (answer["success"], answer["id"], answer["state"], answer["attemptsMade"]) == (True, id, "waiting", 0)


async def test_e16_create(place: Place) -> None:
    async with founded(place) as door:
        client = await door.as_("operator")
        answer = await client.post("/api/jobs/video-generation", json=VIDEO)
        assert answer.status_code == 202
        reply = answer.json()
        assert answer.headers["location"] == reply["href"] == f"/api/v1/jobs/{reply['id']}"
        assert (reply["jobType"], reply["queueName"]) == ("video-generation", "video-generation")
        job = await door.app.jobs.get(reply["id"])
        assert job.args == {name: VIDEO[name] for name in VIDEO if name not in ("priority", "userSubscription")}
        assert (job.priority, job.user, job.project, job.options["plan"]) == (5, "user-123", "project-456", "pro")


async def test_e17_details(memory: Place) -> None:
    async with founded(memory) as door:
        client = await door.as_("operator")
        id = await made(client)
        job = (await client.get(f"/api/jobs/video-generation/{id}")).json()
        assert (job["id"], job["jobType"], job["userId"]) == (id, "video-generation", "user-123")
        problem(await client.get(f"/api/jobs/image-generation/{id}"), 404, "job-not-found")


async def test_e18_progress(memory: Place) -> None:
    async with founded(memory) as door:
        client = await door.as_("operator")
        id = await uploaded(client)
        await door.app.drain()
        found = (await client.get(f"/api/jobs/video-processing/{id}/progress")).json()
        assert found == {"id": id, "state": "completed", "progress": 100, "note": None}


async def test_e19_result(memory: Place) -> None:
    async with founded(memory) as door:
        client = await door.as_("operator")
        id = await made(client)
        early = await client.get(f"/api/jobs/video-generation/{id}/result")
        assert (early.status_code, early.json()["state"]) == (202, "waiting")
        await door.app.drain()
        late = await client.get(f"/api/jobs/video-generation/{id}/result")
        assert (late.status_code, late.json()["result"]) == (200, {"video": VIDEO["prompt"]})


async def test_e20_remove(memory: Place) -> None:
    async with founded(memory) as door:
        started = asyncio.Event()

        @door.app.job
        async def endless() -> None:
            started.set()
            await asyncio.Event().wait()

        client = await door.as_("operator")
        id = await made(client)
        removed = (await client.delete(f"/api/jobs/video-generation/{id}")).json()
        assert removed == {"success": True, "id": id, "removed": True, "cancelled": False}
        problem(await client.get(f"/api/jobs/video-generation/{id}"), 404, "job-not-found")
        running = await made(client, "/api/jobs/endless", {})
        worker = door.app.worker()
        working = asyncio.create_task(worker.run())
        await started.wait()
        stopped = (await client.delete(f"/api/jobs/endless/{running}")).json()
        assert (stopped["removed"], stopped["cancelled"]) == (False, True)

        async def ended() -> bool:
            return (await client.get(f"/api/jobs/endless/{running}")).json()["state"] == "cancelled"

        await until(ended, "the running job to stop")
        assert (await client.delete(f"/api/jobs/endless/{running}")).json()["removed"]
        await worker.stop()
        await working


async def test_e21_retry(memory: Place) -> None:
    async with founded(memory) as door:
        client = await door.as_("operator")
        id = await deployed(client)
        await door.app.drain()
        assert (await client.post(f"/api/jobs/deploy-contract/{id}/retry")).json()["state"] == "waiting"
        done = await made(client)
        await door.app.drain()
        problem(await client.post(f"/api/jobs/video-generation/{done}/retry"), 409, "wrong-state")


async def test_e22_delayed(memory: Place) -> None:
    async with founded(memory) as door:
        client = await door.as_("operator")
        body = {"jobType": "image-generation", "data": IMAGE, "delay": 300000}
        id = await made(client, "/api/jobs/delayed", body)
        job = await door.app.jobs.get(id)
        assert (job.kind, job.args, str(job.state)) == ("image-generation", IMAGE, "delayed")
        assert job.run_at is not None and job.run_at - job.created_at == timedelta(minutes=5)
        flaw = problem(await client.post("/api/jobs/delayed", json={**body, "delay": "5m"}), 422, "invalid-option")
        assert flaw["errors"][0]["pointer"] == "/delay"


async def test_e23_recurring(place: Place) -> None:
    async with founded(place) as door:
        client = await door.as_("operator")
        body = {
            "jobType": "content-analysis",
            "data": ANALYSIS,
            "cronExpression": "0 0 * * *",
            "options": {"skipCache": True},
        }
        answer = await client.post("/api/jobs/recurring", json=body)
        reply = answer.json()
        assert (answer.status_code, reply["schedule"], reply["timezone"]) == (201, "0 0 * * *", "UTC")
        ref = await door.app.schedules.trigger(reply["recurringJobId"])
        job = await ref.job()
        assert (job.args, job.options["skip_cache"]) == (ANALYSIS, True)
        problem(await client.post("/api/jobs/recurring", json={**body, "cronExpression": "at noon"}), 422, "schedule")


async def test_e24_remove_recurring(memory: Place) -> None:
    async with founded(memory) as door:
        client = await door.as_("operator")
        body = {"jobType": "content-analysis", "data": ANALYSIS, "cronExpression": "0 0 * * *"}
        id = (await client.post("/api/jobs/recurring", json=body)).json()["recurringJobId"]
        assert (await client.delete(f"/api/jobs/recurring/{id}")).json()["recurringJobId"] == id
        problem(await client.delete(f"/api/jobs/recurring/{id}"), 404, "schedule-not-found")


async def test_e25_history_of_a_user(memory: Place) -> None:
    async with founded(memory) as door:
        ann, operator = await door.as_(user="user-123"), await door.as_("operator", "olga")
        id = await made(ann)
        for path in ("user-123", "me"):
            page = (await ann.get(f"/api/jobs/user/{path}/history")).json()
            assert ([job["id"] for job in page["jobs"]], page["userId"]) == ([id], "user-123")
        assert (await operator.get("/api/jobs/user/user-123/history")).json()["count"] == 1
        assert (await operator.get("/api/jobs/user/me/history")).json()["count"] == 0
        problem(await ann.get("/api/jobs/user/bob/history"), 403, "out-of-reach")


async def test_e43_enhanced(place: Place) -> None:
    async with founded(place) as door:
        client = await door.as_("operator")
        options = {"delay": 5000, "priority": {"level": "high", "weight": 10}}
        body = {"name": "tts-process", "data": SPEECH, "options": options}
        id = await made(client, f"{ENHANCED}/process-tts/jobs", body)
        job = await door.app.jobs.get(id)
        assert (job.queue, job.kind, job.priority, job.max_attempts) == ("process-tts", "tts-process", 5, 5)
        assert job.args == {name: SPEECH[name] for name in ("text", "voiceId", "realTime")}
        assert job.options["backoff"]["base"] == 1.0
        assert job.run_at is not None and job.run_at - job.created_at == timedelta(seconds=5)
        automatic = await door.app.jobs.get(await deployed(client))
        assert automatic.priority == 10


async def test_e47_retry_by_id(place: Place) -> None:
    async with founded(place) as door:
        admin = await door.as_("admin")
        failed = [await deployed(admin) for _ in range(2)]
        await door.app.drain()
        assert (await admin.post("/api/jobs/retry", json={"jobId": failed[0]})).json() == {
            "success": True,
            "retried": [failed[0]],
            "refused": {},
        }
        many = (await admin.post("/api/jobs/retry", json={"jobIds": [*failed, "0"]})).json()
        assert many["retried"] == [failed[1]]
        assert set(many["refused"]) == {failed[0], "0"}
        problem(await admin.post("/api/jobs/retry", json={"jobId": "0"}), 404, "job-not-found")


async def test_e48_schedule(memory: Place) -> None:
    async with founded(memory) as door:
        admin = await door.as_("admin")
        data = {"type": "daily", "metrics": ["page_views", "purchases"]}
        recurring = {
            "queueName": "analytics-aggregation",
            "data": data,
            "cron": "0 1 * * *",
            "timezone": "Europe/Berlin",
        }
        answer = await admin.post("/api/jobs/schedule", json=recurring)
        assert (answer.status_code, answer.json()["timezone"]) == (201, "Europe/Berlin")
        every = await admin.post("/api/jobs/schedule", json={"jobType": "add", "data": {"a": 1}, "every": 60000})
        assert every.json()["schedule"] == "every 1m"
        at = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        once = await admin.post("/api/jobs/schedule", json={"queueName": "add", "data": {"a": 1}, "date": at})
        assert (await door.app.jobs.get(once.json()["id"])).run_at == datetime.fromisoformat(at)
        both = {"jobType": "add", "data": {"a": 1}, "cron": "* * * * *", "delay": 1}
        problem(await admin.post("/api/jobs/schedule", json=both), 422, "invalid-body")


# what holds for all


async def test_numbers_are_milliseconds_here_and_seconds_elsewhere(memory: Place) -> None:
    async with founded(memory) as door:
        client = await door.as_("operator")
        here = await made(client, "/api/jobs/add", {"data": {"a": 1}, "delay": 60000})
        there = (await client.post("/api/v1/jobs", json={"kind": "add", "args": {"a": 1}, "delay": 60})).json()["id"]
        for id in (here, there):
            job = await door.app.jobs.get(id)
            assert job.run_at is not None and job.run_at - job.created_at == timedelta(minutes=1)


async def test_users_make_their_own_jobs(memory: Place) -> None:
    """The token wins over `userId`, and says the plan."""
    async with founded(memory) as door:
        ann = await door.as_(user="ann", plan="basic")
        problem(await ann.post("/api/jobs/video-generation", json=VIDEO), 403, "out-of-reach")
        id = await made(ann, body={**VIDEO, "userId": "ann"})
        job = await door.app.jobs.get(id)
        assert (job.user, job.options["plan"]) == ("ann", "basic")
        blue = await door.as_(user="ann", project="blue")
        problem(await blue.post("/api/jobs/add", json={"data": {"a": 1}, "projectId": "red"}), 403, "out-of-reach")


async def test_flat_and_nested_bodies(memory: Place) -> None:
    async with founded(memory) as door:
        client = await door.as_("operator")
        for body in ({"a": 1, "priority": "low"}, {"data": {"a": 1}, "priority": -5}):
            job = await door.app.jobs.get(await made(client, "/api/jobs/add", body))
            assert (job.args, job.priority) == ({"a": 1, "b": 2}, -5)
        bad: list[tuple[Any, str]] = [
            ({"a": "x"}, "/args/a"),
            ({"data": {"a": 1}, "prio": 1}, "/prio"),
            ({"a": 1, "priority": "soon"}, "/priority"),
            ({"a": 1, "priority": [1]}, "/priority"),
            ({"a": 1, "tags": {"x": 1}}, "/tags"),
            ({"a": 1, "uniqueKey": 7}, "/unique/key"),
            ({"a": 1, "retryStrategy": {"type": "sometimes"}}, "/retryStrategy/type"),
        ]
        for body, pointer in bad:
            answer = await client.post("/api/jobs/add", json=body)
            assert answer.status_code == 422, answer.text
            assert answer.json()["errors"][0]["pointer"] in (pointer, pointer.replace("Strategy", "")), answer.text


async def test_a_repeated_request_makes_no_second_job(memory: Place) -> None:
    async with founded(memory) as door:
        client = await door.as_("operator")
        answers = [
            await client.post("/api/jobs/video-generation", json=VIDEO, headers={"Idempotency-Key": "once"})
            for _ in range(2)
        ]
        assert answers[0].json() == answers[1].json()
        assert (await client.get("/api/jobs/dashboard/jobs/video-generation")).json()["count"] == 1
