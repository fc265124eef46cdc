"""Jobs over HTTP, from their making to their end, on every engine."""

import asyncio

import msgspec
from msgspec.structs import replace

from tests.api_http.kit import enqueue, opened, problem
from tests.store.kit import Place
from tests.waiting import until
from windlass.api import bulk
from windlass.values.query import Swap

API = "/api/v1"


async def test_a_job_is_made_run_and_read(place: Place) -> None:
    async with opened(place) as door:
        client = await door.as_("operator")
        answer = await client.post(f"{API}/jobs", json={"kind": "add", "args": {"a": 1, "b": 5}, "tags": ["x"]})
        assert answer.status_code == 202
        made = answer.json()
        assert answer.headers["location"] == made["href"] == f"{API}/jobs/{made['id']}"
        assert (made["kind"], made["deduplicated"]) == ("add", False)
        waiting = await client.get(f"{made['href']}/result")
        assert (waiting.status_code, waiting.json()["final"]) == (202, False)
        await door.app.drain()
        job = (await client.get(made["href"])).json()
        assert (job["state"], job["result"], job["args"], job["tags"]) == ("completed", 6, {"a": 1, "b": 5}, ["x"])
        assert [attempt["outcome"] for attempt in job["attempts"]] == ["complete"]
        ended = await client.get(f"{made['href']}/result")
        assert (ended.status_code, ended.json()["result"], ended.json()["final"]) == (200, 6, True)
        assert (await client.get(f"{made['href']}/progress")).json()["state"] == "completed"


async def test_the_end_can_be_awaited(place: Place) -> None:
    async with opened(place) as door:
        client = await door.as_("operator")
        id = await enqueue(client)
        asked = asyncio.create_task(client.get(f"{API}/jobs/{id}/result", params={"wait": "30s"}))
        await asyncio.sleep(0)
        await door.app.drain()
        answer = await asked
        assert (answer.status_code, answer.json()["result"]) == (200, 3)


async def test_dead_letters(place: Place) -> None:
    async with opened(place) as door:
        client = await door.as_("operator")
        id = await enqueue(client, "send", {"to": "nemo"})
        alive = await enqueue(client, "add", delay="1h")
        await door.app.drain()
        (dead,) = (await client.get(f"{API}/dead-letters")).json()["items"]
        assert dead["id"] == id
        shown = (await client.get(f"{API}/dead-letters/{id}")).json()
        assert shown["reason"] == "nobody is called nemo"
        assert [line["text"] for line in (await client.get(f"{API}/jobs/{id}/log")).json()] == ["sending to nemo"]
        problem(await client.get(f"{API}/dead-letters/{alive}"), 409, "wrong-state")
        assert (await client.post(f"{API}/dead-letters/{id}/retry")).json() == {"id": id, "outcome": "done"}
        await door.app.drain()
        history = (await client.get(f"{API}/jobs/{id}/history")).json()
        assert [act["action"] for act in history["acts"]] == ["requeue"]
        assert history["acts"][0]["actor"] == "user:ann"
        assert (await client.delete(f"{API}/dead-letters/{id}")).json()["outcome"] == "done"
        problem(await client.get(f"{API}/dead-letters/{id}"), 404, "job-not-found")


async def test_acts_on_one_job(place: Place) -> None:
    async with opened(place) as door:
        client = await door.as_("operator")
        id = await enqueue(client, delay="1h", priority="high")
        href = f"{API}/jobs/{id}"
        before = await client.get(href)
        assert before.json()["priority"] == 5
        edited = await client.patch(href, json={"priority": 7}, headers={"If-Match": before.headers["etag"]})
        assert (edited.status_code, edited.json()["priority"]) == (200, 7)
        problem(
            await client.patch(href, json={"priority": 8}, headers={"If-Match": before.headers["etag"]}),
            412,
            "changed-meanwhile",
        )
        assert (await client.get(href, headers={"If-None-Match": edited.headers["etag"]})).status_code == 304
        assert (await client.post(f"{href}/run-now")).json()["outcome"] == "done"
        problem(await client.post(f"{href}/run-now"), 409, "wrong-state")
        assert (await client.post(f"{href}/cancel", json={"reason": "not needed"})).json()["outcome"] == "done"
        assert (await client.get(href)).json()["reason"] == "not needed"
        problem(await client.post(f"{href}/cancel"), 409, "wrong-state")
        assert (await client.post(f"{href}/retry")).json()["outcome"] == "done"
        assert (await client.post(f"{href}/fail", json={"reason": "withdrawn"})).json()["outcome"] == "done"
        assert (await client.get(href)).json()["state"] == "failed"
        copy = await client.post(f"{href}/clone", json={"args": {"b": 40}})
        assert copy.status_code == 202
        assert (await client.get(copy.json()["href"])).json()["args"] == {"a": 1, "b": 40}
        assert (await client.delete(href)).json()["outcome"] == "done"
        problem(await client.delete(href), 404, "job-not-found")


async def test_many_at_once(place: Place) -> None:
    async with opened(place) as door:
        client = await door.as_("operator")
        jobs = [{"kind": "add", "args": {"a": n}} for n in range(50)]
        answer = await client.post(f"{API}/jobs/batch", json={"jobs": jobs})
        assert (answer.status_code, answer.json()["created"]) == (202, 50)
        ids = [item["id"] for item in answer.json()["items"]]
        assert ids == sorted(ids)
        bad = [*jobs[:2], {"kind": "add", "args": {"a": "x"}}, {"kind": "nope"}]
        refused = problem(await client.post(f"{API}/jobs/batch", json={"jobs": bad}), 422, "invalid-args")
        assert [flaw["pointer"] for flaw in refused["errors"]] == ["/jobs/2/args/a"]
        assert (await client.get(f"{API}/jobs", params={"total": True})).json()["total"] == {
            "value": 50,
            "relation": "eq",
        }
        answer = await client.post(f"{API}/jobs/batch", json={"jobs": bad, "atomic": False})
        assert [item["status"] for item in answer.json()["items"]] == [202, 202, 422, 422]
        assert (answer.json()["created"], answer.json()["refused"]) == (2, 2)


async def test_a_held_unique_key_answers_with_its_holder(place: Place) -> None:
    async with opened(place) as door:
        client = await door.as_("operator")
        first = await client.post(f"{API}/jobs", json={"kind": "alone"})
        again = await client.post(f"{API}/jobs", json={"kind": "alone"})
        assert (first.status_code, again.status_code) == (202, 200)
        assert (again.json()["id"], again.json()["deduplicated"]) == (first.json()["id"], True)


async def test_lists_pages_and_filters(place: Place) -> None:
    async with opened(place) as door:
        client = await door.as_("operator")
        ids = [await enqueue(client, args={"a": n}, tags=[f"n{n % 2}"]) for n in range(7)]
        await enqueue(client, "send", {"to": "x"}, user="bob")
        seen: list[str] = []
        params = {"q": "kind:add", "limit": 3}
        page = (await client.get(f"{API}/jobs", params=params)).json()
        while True:
            seen += [job["id"] for job in page["items"]]
            if page["next_cursor"] is None:
                break
            page = (await client.get(f"{API}/jobs", params={**params, "cursor": page["next_cursor"]})).json()
        assert seen == ids[::-1]
        found = (await client.get(f"{API}/jobs", params={"q": "args.a:>=5", "include": "args"})).json()["items"]
        assert found == []  # args are compared as text
        found = (await client.get(f"{API}/jobs", params={"q": "args.a:5,6", "include": "args"})).json()["items"]
        assert [job["args"]["a"] for job in found] == [6, 5]
        assert "args" not in (await client.get(f"{API}/jobs")).json()["items"][0]
        found = (await client.post(f"{API}/jobs/search", json={"tag": "n1", "state": "waiting"})).json()["items"]
        assert len(found) == 3
        assert len((await client.get(f"{API}/jobs", params={"user": "bob"})).json()["items"]) == 1


async def test_residual_filters_page_without_loss(place: Place) -> None:
    async with opened(place) as door:
        client = await door.as_("operator")
        jobs = [{"kind": "add", "args": {"a": n}, "name": f"n{n % 3}"} for n in range(600)]
        await client.post(f"{API}/jobs/batch", json={"jobs": jobs})
        seen: list[str] = []
        params = {"q": "name:n1", "limit": 70}
        cursor = None
        while True:
            page = (await client.get(f"{API}/jobs", params={**params, **({"cursor": cursor} if cursor else {})})).json()
            seen += [job["id"] for job in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert len(seen) == len(set(seen)) == 200
        assert seen == sorted(seen, reverse=True)


async def test_bulk_acts(place: Place) -> None:
    async with opened(place) as door:
        client = await door.as_("operator")
        jobs = [{"kind": "add", "args": {"a": n}, "delay": "1h"} for n in range(600)]
        await client.post(f"{API}/jobs/batch", json={"jobs": jobs})
        kept = await enqueue(client, "send", {"to": "x"}, delay="1h")
        tried = await client.post(f"{API}/bulk", json={"action": "cancel", "q": "kind:add", "dry_run": True})
        assert tried.status_code == 200
        assert tried.json()["total"] == {"value": 600, "relation": "eq"}
        assert len(tried.json()["samples"]) == 5
        answer = await client.post(f"{API}/bulk", json={"action": "cancel", "q": "kind:add", "reason": "enough"})
        assert answer.status_code == 202

        async def over() -> bool:
            return (await client.get(answer.headers["location"])).json()["status"] == "completed"

        await until(over, "the bulk operation to end")
        act = (await client.get(answer.headers["location"])).json()
        assert (act["matched"], act["done"], act["refused"]) == (600, 600, 0)
        assert (await client.get(f"{API}/jobs/{kept}")).json()["state"] == "delayed"
        assert [each["id"] for each in (await client.get(f"{API}/bulk")).json()["items"]] == [act["id"]]


async def test_a_bulk_act_can_be_undone_within_its_window(place: Place) -> None:
    async with opened(place) as door:
        client = await door.as_("operator")
        id = await enqueue(client, delay="1h")
        body = {"action": "delete", "ids": [id], "undo_window": "60s"}
        answer = await client.post(f"{API}/bulk", json=body)
        assert answer.json()["status"] == "pending"
        stopped = await client.post(f"{answer.headers['location']}/cancel")
        assert (stopped.json()["status"], stopped.json()["done"]) == ("cancelled", 0)
        assert (await client.get(f"{API}/jobs/{id}")).status_code == 200


async def test_a_bulk_act_goes_on_when_its_process_is_gone(place: Place) -> None:
    async with opened(place) as door:
        client = await door.as_("operator")
        jobs = [{"kind": "add", "args": {"a": n}, "delay": "1h"} for n in range(300)]
        await client.post(f"{API}/jobs/batch", json={"jobs": jobs})
        body = {"action": "cancel", "q": "kind:add", "undo_window": "1s"}
        href = (await client.post(f"{API}/bulk", json=body)).headers["location"]
        store = await door.app.store()
        (record,) = await store.records(bulk.SPACE)
        known = msgspec.json.decode(record.text or "", type=bulk.Bulk)
        left = replace(known, status="running", runner="somebody gone", beat=1.0, starts_at=known.created_at)
        text = msgspec.json.encode(left).decode()
        await store.exchange([Swap(space=bulk.SPACE, key=record.key, text=text)])

        async def over() -> bool:
            return (await client.get(href)).json()["status"] == "completed"

        await until(over, "the bulk act to go on")
        assert (await client.get(href)).json()["done"] == 300


async def test_workflows_and_batches(place: Place) -> None:
    async with opened(place) as door:
        client = await door.as_("operator")
        body = {
            "name": "sums",
            "jobs": [
                {"ref": "last", "kind": "total", "args": {"more": 100}, "inputs": {"parts": "first"}},
                {"ref": "first", "kind": "add", "args": {"a": 1}},
            ],
        }
        made = (await client.post(f"{API}/workflows", json=body)).json()
        await door.app.drain()
        graph = (await client.get(made["href"])).json()
        assert (graph["state"], graph["name"], len(graph["nodes"])) == ("completed", "sums", 2)
        assert graph["edges"] == [{"parent": made["jobs"]["first"], "child": made["jobs"]["last"]}]
        assert (await client.get(f"{API}/jobs/{made['jobs']['last']}/result")).json()["result"] == 103
        (listed,) = (await client.get(f"{API}/workflows")).json()["items"]
        assert listed["id"] == made["id"]
        body = {
            "jobs": [{"kind": "send", "args": {"to": "x"}}, {"kind": "add", "args": {"a": 1}}],
            "then": {"kind": "alone"},
        }
        batch = (await client.post(f"{API}/batches", json=body)).json()
        await door.app.drain()
        state = (await client.get(f"{API}/batches/{batch['id']}")).json()
        assert (state["state"], state["counts"]) == ("failed", {"completed": 2, "failed": 1})
        assert (await client.post(f"{API}/workflows/{batch['id']}/retry")).json()["done"] == 1
        assert (await client.post(f"{API}/workflows/{batch['id']}/cancel")).json()["done"] == 1
        circle = {"jobs": [{"ref": "a", "kind": "add", "after": ["b"]}, {"ref": "b", "kind": "add", "after": ["a"]}]}
        for job in circle["jobs"]:
            job["args"] = {"a": 1}  # type: ignore[assignment]
        problem(await client.post(f"{API}/workflows", json=circle), 422, "invalid-workflow")
        problem(await client.get(f"{API}/workflows/nothing"), 404, "job-not-found")


async def test_queues(place: Place) -> None:
    async with opened(place) as door:
        client = await door.as_("operator")
        await enqueue(client, queue="a/b")
        queue = await client.get(f"{API}/queues/a%2Fb")
        assert (queue.json()["name"], queue.json()["counts"]["waiting"], queue.json()["paused"]) == ("a/b", 1, False)
        assert (await client.put(f"{API}/queues/a%2Fb/pause")).json()["paused"] is True
        await door.app.drain()
        assert (await client.get(f"{API}/queues/a%2Fb")).json()["counts"]["waiting"] == 1
        stale = {"If-Match": queue.headers["etag"]}
        problem(
            await client.patch(f"{API}/queues/a%2Fb", json={"order": "fair"}, headers=stale), 412, "changed-meanwhile"
        )
        edited = await client.patch(f"{API}/queues/a%2Fb", json={"order": "fair", "paused": False})
        assert (edited.json()["order"], edited.json()["paused"]) == ("fair", False)
        assert (await client.delete(f"{API}/queues/a%2Fb/jobs")).json() == {"count": 1}
        problem(await client.get(f"{API}/queues/never"), 404, "queue-not-found")
        names = [each["name"] for each in (await client.get(f"{API}/queues")).json()["items"]]
        assert "a/b" in names
        acts = (await client.get(f"{API}/audit", params={"target": "queue:a/b"})).json()["items"]
        assert {act["actor"] for act in acts} == {"user:ann"}


async def test_schedules(place: Place) -> None:
    async with opened(place) as door:
        client = await door.as_("operator")
        href = f"{API}/schedules/nightly"
        body = {"cron": "0 6 * * *", "timezone": "Europe/Berlin", "job": {"kind": "add", "args": {"a": 1}}}
        put = await client.put(href, json=body)
        assert (put.status_code, put.json()["when"], put.json()["kind"]) == (200, "0 6 * * *", "add")
        assert [each["key"] for each in (await client.get(f"{API}/schedules")).json()["items"]][-1] == "nightly"
        assert len((await client.get(f"{href}/preview", params={"count": 3})).json()) == 3
        asked = {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "after": "2030-03-30T00:00:00Z", "count": 2}
        marks = [each["mark"] for each in (await client.post(f"{API}/schedules/preview", json=asked)).json()]
        assert marks == [None, "gap"]
        problem(await client.post(f"{API}/schedules/preview", json={"cron": "0 0 30 2 *"}), 422, "schedule")
        assert (await client.post(f"{href}/pause")).json()["paused"] is True
        made = await client.post(f"{href}/trigger")
        assert made.status_code == 202
        assert [job["id"] for job in (await client.get(f"{href}/history")).json()["items"]] == [made.json()["id"]]
        assert (await client.post(f"{href}/resume")).json()["paused"] is False
        stale = {"If-Match": put.headers["etag"]}
        problem(
            await client.put(href, json={**body, "cron": "0 7 * * *"}, headers={"If-Match": '"x"'}),
            412,
            "changed-meanwhile",
        )
        assert (await client.delete(href)).json()["key"] == "nightly"
        problem(await client.put(href, json=body, headers=stale), 412, "changed-meanwhile")
        problem(await client.delete(href), 404, "schedule-not-found")


async def test_limits_and_breakers(place: Place) -> None:
    async with opened(place) as door:
        client = await door.as_("operator")
        href = f"{API}/limits/queue:mail"
        problem(await client.get(href), 404, "limit-not-found")
        put = await client.put(href, json={"rate": "100/m", "concurrency": 5})
        assert (put.status_code, put.json()["concurrency"], put.json()["rate"]) == (200, 5, "100/m")
        assert [each["key"] for each in (await client.get(f"{API}/limits")).json()["items"]] == ["queue:mail"]
        problem(await client.put(href, json={}), 422, "invalid-option")
        problem(
            await client.put(href, json={"concurrency": 9}, headers={"If-Match": '"old"'}), 412, "changed-meanwhile"
        )
        assert (await client.delete(href)).json() == {"key": "queue:mail", "outcome": "cleared"}
        opened_ = await client.post(f"{API}/breakers/openai/open", json={"duration": "1h"})
        assert opened_.json()["state"] == "open"
        assert (await client.get(f"{API}/breakers/openai")).json()["opens_at"]
        assert [each["name"] for each in (await client.get(f"{API}/breakers")).json()["items"]] == ["openai"]
        assert (await client.post(f"{API}/breakers/openai/reset")).json()["state"] == "closed"


async def test_steps_and_signals(place: Place) -> None:
    async with opened(place) as door:
        client = await door.as_("operator")
        id = await enqueue(client, "approve", {})
        await door.app.drain()
        steps = (await client.get(f"{API}/jobs/{id}/steps")).json()
        assert [(step["what"], step["name"], step["done"]) for step in steps] == [("signal", "approved", False)]
        answer = await client.post(f"{API}/jobs/{id}/signals/approved", json={"data": {"by": "bob"}})
        assert answer.json() == {"id": id, "delivery": "woken"}
        await door.app.drain()
        assert (await client.get(f"{API}/jobs/{id}/result")).json()["result"] == "bob"
        problem(await client.post(f"{API}/jobs/{id}/signals/approved"), 409, "wrong-state")


async def test_submission_rates_answer_429(place: Place) -> None:
    async with opened(place) as door:

        @door.app.job(per_user_rate="2/h")
        async def rare() -> None: ...

        client = await door.as_("user")
        codes = [(await client.post(f"{API}/jobs", json={"kind": "rare"})).status_code for _ in range(3)]
        assert codes == [202, 202, 429]
        answer = await client.post(f"{API}/jobs/batch", json={"jobs": [{"kind": "rare"}]})
        problem(answer, 429, "rate-limit-exceeded")
        assert 1 <= int(answer.headers["retry-after"]) <= 3_600


async def test_insight(place: Place) -> None:
    async with opened(place) as door:
        client = await door.as_("admin")
        await enqueue(client)
        await enqueue(client, "send", {"to": "x"})
        await door.app.drain()
        kinds = {kind["name"]: kind for kind in (await client.get(f"{API}/kinds")).json()["items"]}
        assert kinds["add"]["schema"]["$defs"]["add"]["properties"]["a"] == {"type": "integer"}
        assert (await client.get(f"{API}/kinds/send")).json()["max_attempts"] == 1
        problem(await client.get(f"{API}/kinds/nope"), 404, "kind-not-found")
        figures = {each["kind"]: each for each in (await client.get(f"{API}/metrics")).json()["kinds"]}
        assert (figures["add"]["completed"], figures["send"]["failed"]) == (1, 1)
        assert figures["add"]["run"]["median"] >= 0
        await enqueue(client)
        health = (await client.get(f"{API}/health")).json()
        assert health["status"] == "degraded" and "no-worker" in {issue["code"] for issue in health["issues"]}
        assert "default" in {each["queue"] for each in health["queues"]}
        assert (await client.get(f"{API}/health/default")).json()["waiting"] == 1
        assert (await client.get(f"{API}/workers")).json()["items"] == []
        problem(await client.get(f"{API}/workers/nobody"), 404, "worker-not-found")
        assert (await client.get(f"{API}/jobs/{await enqueue(client, delay='1h')}/explain")).json()["reasons"]


async def test_a_list_shows_a_line_of_the_arguments(memory: Place) -> None:
    async with opened(memory) as door:
        client = await door.as_("operator")
        await enqueue(client, "send", {"to": "x" * 5_000})
        await enqueue(client, "send", {"to": "a", "body": "ü"})
        short, long = (await client.get(f"{API}/jobs?include=preview")).json()["items"]
        assert short["preview"] == '{"to":"a","body":"ü"}'
        assert (len(long["preview"]), long["preview"][:8]) == (400, '{"to":"x')
        assert "args" not in long
        (plain, _) = (await client.get(f"{API}/jobs")).json()["items"]
        assert "preview" not in plain
        assert "preview" not in (await client.get(f"{API}/jobs/{plain['id']}")).json()
        problem(await client.get(f"{API}/jobs?include=previews"), 422, "invalid-parameter")
