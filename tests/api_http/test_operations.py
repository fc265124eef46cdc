"""Dead letters, error groups, the audit, users and histories by HTTP."""

from typing import Any

import pytest

from tests.api_http.kit import Door, enqueue, opened, problem, token
from tests.store.kit import Place
from windlass import InvalidOption, ScheduleNotFound
from windlass.operate.retention import prune_all
from windlass.values.query import Retention

API = "/api/v1"


async def dead(door: Door, count: int = 1) -> list[str]:
    """Dead letters of the kind `send`."""
    client = await door.as_("operator", user="bob")
    ids = [await enqueue(client, "send", {"to": f"nobody{n}"}, user="bob") for n in range(count)]
    await door.app.drain()
    return ids


async def test_dead_letters_by_http(place: Place) -> None:
    async with opened(place) as door:
        (id,) = await dead(door)
        client = await door.as_("operator")
        (letter,) = (await client.get(f"{API}/dead-letters")).json()["items"]
        assert (letter["id"], letter["can_retry"], letter["archived"], letter["next_retry_at"]) == (
            id,
            False,
            False,
            None,
        )
        assert letter["policy"]["max_attempts"] == 1
        fingerprint = letter["error"]["fingerprint"]
        for query, count in (
            ({"fingerprint": fingerprint}, 1),
            ({"fingerprint": "0" * 16}, 0),
            ({"archived": True}, 0),
        ):
            assert len((await client.get(f"{API}/dead-letters", params=query)).json()["items"]) == count, query
        stats = (await client.get(f"{API}/dead-letters/stats")).json()
        assert (stats["total"], stats["permanent"], stats["queues"]) == (1, 1, {"mail": 1})
        problem(await client.post(f"{API}/dead-letters/{id}/retry", json={"args": {"to": 5}}), 422, "invalid-args")
        answer = await client.post(f"{API}/dead-letters/{id}/retry", json={"args": {"to": "new"}, "max_attempts": 4})
        assert answer.json() == {"id": id, "outcome": "done"}
        job = (await client.get(f"{API}/jobs/{id}")).json()
        assert (job["state"], job["args"], job["max_attempts"]) == ("waiting", {"to": "new"}, 4)


async def test_an_argument_that_is_a_result_cannot_be_given_by_http(place: Place) -> None:
    async with opened(place) as door:
        client = await door.as_("operator")
        jobs = [
            {"ref": "sum", "kind": "add", "args": {"a": 1}},
            {"ref": "mail", "kind": "send", "inputs": {"to": "sum"}},
        ]
        made = (await client.post(f"{API}/workflows", json={"jobs": jobs})).json()
        await door.app.drain()
        await door.app.drain()
        (letter,) = (await client.get(f"{API}/dead-letters")).json()["items"]
        path = f"{API}/dead-letters/{letter['id']}/retry"
        answer = await client.post(path, json={"args": {"to": "new"}})
        problem(answer, 422, "invalid-args")
        assert "it is the result of job" in answer.text
        assert (await client.post(path, json={"args": {}})).json()["outcome"] == "done", made


async def test_replay_archive_and_purge_by_http(place: Place) -> None:
    async with opened(place) as door:
        await dead(door, 3)
        client = await door.as_("operator")
        made = (await client.post(f"{API}/dead-letters/replay", json={"queue": "mail", "per_second": 1000})).json()
        await door.app.drain()
        job = (await client.get(f"{API}/jobs/{made['id']}")).json()
        assert (job["state"], job["progress_note"]) == ("completed", "3 requeued")
        await door.app.drain()
        assert "before" in (await client.post(f"{API}/dead-letters/archive", json={"older_than": "0s"})).json()
        assert len((await client.get(f"{API}/dead-letters?archived=true")).json()["items"]) == 3
        problem(await client.post(f"{API}/dead-letters/purge", json={}), 422, "invalid-option")
        assert (await client.post(f"{API}/dead-letters/purge", json={"archived": True})).json() == {"count": 3}
        viewer = await door.as_("viewer")
        for path in ("replay", "archive", "purge"):
            problem(await viewer.post(f"{API}/dead-letters/{path}", json={"queue": "mail"}), 403, "forbidden")


async def test_error_groups_by_http(place: Place) -> None:
    async with opened(place) as door:
        await dead(door, 2)
        client = await door.as_("operator", user="ann")
        (group,) = (await client.get(f"{API}/errors")).json()["items"]
        assert (group["type"], group["letters"], group["mark"], group["queues"]) == ("Fail", 2, "open", ["mail"])
        address = f"{API}/errors/{group['fingerprint']}"
        assert (await client.get(address)).json()["message"] == "nobody is called nobody#"
        assert (await client.post(f"{address}/resolve")).json()["mark"] == "resolved"
        assert (await client.get(f"{API}/errors?mark=open")).json()["items"] == []
        assert (await client.post(f"{address}/ignore")).json()["mark"] == "ignored"
        assert (await client.post(f"{address}/reopen")).json()["mark"] == "open"
        assert (await client.post(f"{address}/retry")).json() == {"count": 2}
        problem(await client.get(f"{API}/errors/nonsense"), 404, "error-group-not-found")
        acts = (await client.get(f"{API}/audit", params={"target": "error:*"})).json()["items"]
        assert [act["action"] for act in acts] == ["reopen", "ignore", "resolve"]


async def test_the_audit_by_page(place: Place) -> None:
    async with opened(place) as door:
        client = await door.as_("operator", user="ann")
        await enqueue(await door.as_("user"), "alone", {"n": 1})
        for act in ("pause", "resume", "pause"):
            assert (await client.put(f"{API}/queues/mail/{act}")).status_code == 200
        first = (await client.get(f"{API}/audit", params={"target": "queue:*", "limit": 2})).json()
        assert len(first["items"]) == 2
        second = await client.get(
            f"{API}/audit", params={"target": "queue:*", "limit": 2, "cursor": first["next_cursor"]}
        )
        ids = [act["id"] for act in [*first["items"], *second.json()["items"]]]
        assert len(set(ids)) == len(ids) == 3
        assert {act["target"] for act in first["items"]} == {"queue:mail"}
        actor = first["items"][0]["actor"]
        assert (await client.get(f"{API}/audit", params={"actor": actor})).json()["total"]["value"] == 3
        assert (await client.get(f"{API}/audit", params={"actor": "nobody"})).json()["items"] == []
        problem(await client.get(f"{API}/audit", params={"cursor": "x"}), 422, "invalid-cursor")


async def test_history_and_users_by_http(place: Place) -> None:
    async with opened(place) as door:
        (id,) = await dead(door)
        client = await door.as_("operator", user="ann")
        await client.post(f"{API}/dead-letters/{id}/retry")
        found = (await client.get(f"{API}/jobs/{id}/history")).json()
        told = [entry["what"] for entry in found["timeline"]]
        assert told[0] == "created"
        assert told.count("failed") == 1 and told[-1] == "act"
        (user,) = (await client.get(f"{API}/metrics/users")).json()["items"]
        assert (user["user"], user["failed"], user["cost"]) == ("bob", 1, "0")
        workers = (await client.get(f"{API}/metrics/workers")).json()["items"]
        name = workers[0]["worker"]
        (alone,) = (await client.get(f"{API}/metrics/workers", params={"worker": name})).json()["items"]
        assert (alone["worker"], alone["failed"], alone["run"]["count"]) == (name, 1, 1)
        assert (await client.get(f"{API}/metrics/workers?worker=nobody")).json()["items"] == []
        one = (await client.get(f"{API}/metrics/users/bob?last=7d")).json()
        assert (one["total"]["failed"], [each["queue"] for each in one["queues"]]) == (1, ["mail"])


async def test_the_history_of_a_job_that_retention_deleted(place: Place) -> None:
    async with opened(place) as door:
        (id,) = await dead(door)
        operator, bob, eve = [
            await door.as_(role, user=user) for role, user in (("operator", "ann"), ("user", "bob"), ("user", "eve"))
        ]
        path = f"{API}/jobs/{id}"
        before = (await bob.get(f"{path}/history")).json()
        assert before["gone_at"] is None
        assert await prune_all(await door.app.store(), Retention(failed=0)) == 1
        for client in (operator, bob):
            assert "history" in problem(await client.get(path), 404, "job-not-found")["mend"]
            found = (await client.get(f"{path}/history")).json()
            assert found["attempts"] == before["attempts"]
            assert [entry["what"] for entry in found["timeline"]] == [
                *(entry["what"] for entry in before["timeline"] if entry["what"] != "due"),
                "deleted",
            ]
            assert found["gone_at"] == found["timeline"][-1]["at"]
        problem(await eve.get(f"{path}/history"), 404, "job-not-found")


async def raw(door: Door, path: str, token: str) -> int:
    """The status of a request whose path is handed over as a server decoded it."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": b"",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"api.test"), (b"authorization", f"Bearer {token}".encode())],
        "client": ("192.0.2.1", 4711),
        "server": ("api.test", 80),
    }
    await door.asgi(scope, receive, send)
    return sent[0]["status"]


async def test_lone_surrogates_are_not_found(memory: Place) -> None:
    async with opened(memory) as door:
        for path in ("schedules/\ud800/history", "schedules/\ud800", "jobs/\ud800", "queues/\udfff", "errors/\ud800"):
            assert await raw(door, f"{API}/{path}", token(role="admin")) == 404, ascii(path)
        with pytest.raises(ScheduleNotFound):
            await door.app.schedules.history("\ud800")
        with pytest.raises(InvalidOption):
            await door.app.audit(target="\ud800")


async def test_paths_with_odd_unicode_break_nothing(memory: Place) -> None:
    odd = "%ED%A0%80"
    async with opened(memory) as door:
        client = await door.as_("admin")
        for path in (
            f"schedules/{odd}/history",
            f"schedules/{odd}",
            f"jobs/{odd}",
            f"queues/{odd}",
            f"kinds/{odd}",
            f"errors/{odd}",
            f"dead-letters/{odd}",
            f"health/{odd}",
            f"metrics/users/{odd}",
            f"limits/{odd}",
            f"workers/{odd}",
        ):
            answer = await client.get(f"{API}/{path}")
            assert answer.status_code in (200, 404, 422), (path, answer.text)
        for query in (f"audit?target={odd}", f"jobs?queue={odd}", f"dead-letters?fingerprint={odd}", f"jobs?q={odd}"):
            answer = await client.get(f"{API}/{query}")
            assert answer.status_code in (200, 404, 422), (query, answer.text)
