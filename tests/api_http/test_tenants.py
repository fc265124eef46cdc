"""Two tenants driven with the same calls never see each other, in single and in bulk forms."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.api_http.kit import enqueue, opened, problem
from tests.store.kit import Place
from tests.waiting import until

API = "/api/v1"

PAIRS = {
    "users": [{"role": "user", "user": "ann"}, {"role": "user", "user": "bob"}],
    "projects": [
        {"role": "operator", "user": "ann", "project": "blue"},
        {"role": "operator", "user": "bob", "project": "red"},
    ],
    "the same name in two projects": [
        {"role": "user", "user": "ann", "project": "blue"},
        {"role": "user", "user": "ann", "project": "red"},
    ],
}
pairs = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)


@asynccontextmanager
async def both(place: Place, pair: list[dict[str, Any]]) -> AsyncIterator[tuple[Any, Any, Any]]:
    async with opened(place) as door:
        yield door, await door.as_(**pair[0]), await door.as_(**pair[1])


@pairs
async def test_single_jobs(place: Place, pair: list[dict[str, Any]]) -> None:
    async with both(place, pair) as (door, mine, theirs):
        dead = await enqueue(mine, "send", {"to": "secret-of-mine"})
        await door.app.drain()
        live = await enqueue(mine, args={"a": 424242}, delay="1h")
        absent = "01900000-0000-7000-8000-000000000000"
        for id in (dead, live):
            for method, path in (
                ("GET", ""), ("GET", "/result"), ("GET", "/progress"), ("GET", "/log"), ("GET", "/history"),
                ("GET", "/explain"), ("GET", "/steps"),
                ("POST", "/signals/x"), ("DELETE", ""), ("POST", "/cancel"), ("POST", "/retry"), ("POST", "/run-now"),
                ("POST", "/fail"), ("POST", "/clone"), ("PATCH", ""),
            ):  # fmt: skip
                body = {"json": {"priority": 3}} if method == "PATCH" else {}
                answer = await theirs.request(method, f"{API}/jobs/{id}{path}", **body)
                document = problem(answer, 404, "job-not-found")
                other = (await theirs.request(method, f"{API}/jobs/{absent}{path}", **body)).json()
                differs = {name for name in document if document[name] != other[name]}
                assert differs <= {"request_id", "detail", "instance"}
                assert document["detail"].replace(id, "") == other["detail"].replace(absent, "")
        for method, path in (("GET", ""), ("POST", "/retry"), ("DELETE", "")):
            problem(await theirs.request(method, f"{API}/dead-letters/{dead}{path}"), 404, "job-not-found")
        assert (await mine.get(f"{API}/jobs/{live}")).json()["state"] == "delayed"
        assert (await mine.get(f"{API}/jobs/{dead}")).json()["state"] == "failed"


@pairs
async def test_lists_and_searches(place: Place, pair: list[dict[str, Any]]) -> None:
    async with both(place, pair) as (door, mine, theirs):
        own = await enqueue(mine, "send", {"to": "x"}, tags=["t"])
        await door.app.drain()
        user = pair[0]["user"]
        for q in (
            "",
            "kind:*",
            f"id:{own}",
            f"user:{user}",
            "-state:waiting",
            "tag:t",
            "nobody",
            f"-user:{user}x",
            "args.to:x",
        ):
            for answer in (
                await theirs.get(f"{API}/jobs", params={"q": q, "total": True}),
                await theirs.post(f"{API}/jobs/search", json={"q": q}),
                await theirs.get(f"{API}/dead-letters", params={"q": q}),
            ):
                assert answer.json()["items"] == [], q
                assert answer.json()["total"] == {"value": 0, "relation": "eq"}
        for name in ("user", "project"):
            if name in pair[0] and pair[0][name] != pair[1].get(name):
                assert (await theirs.get(f"{API}/jobs", params={name: pair[0][name]})).json()["items"] == []
        assert [job["id"] for job in (await mine.get(f"{API}/jobs")).json()["items"]] == [own]
        page = (await mine.get(f"{API}/jobs", params={"limit": 1, "q": "kind:send"})).json()
        cursor = page["next_cursor"] or "AAAA"
        answer = await theirs.get(f"{API}/jobs", params={"limit": 1, "q": "kind:send", "cursor": cursor})
        assert answer.status_code == 422 or answer.json()["items"] == []


@pairs
async def test_bulk_acts(place: Place, pair: list[dict[str, Any]]) -> None:
    async with both(place, pair) as (_, mine, theirs):
        id = await enqueue(mine, delay="1h")
        other = await enqueue(theirs, delay="1h")
        for body in ({"q": "kind:add"}, {"ids": [id, other]}, {"q": f"id:{id},{other}"}, {"q": "-kind:zzz"}):
            tried = await theirs.post(f"{API}/bulk", json={"action": "cancel", "dry_run": True, **body})
            assert tried.json()["total"]["value"] == 1
            assert [job["id"] for job in tried.json()["samples"]] == [other]
        href = (await theirs.post(f"{API}/bulk", json={"action": "delete", "ids": [id, other]})).headers["location"]

        async def over() -> bool:
            return (await theirs.get(href)).json()["status"] == "completed"

        await until(over, "the bulk act to end")
        assert (await theirs.get(href)).json()["done"] == 1
        assert (await mine.get(f"{API}/jobs/{id}")).json()["state"] == "delayed"
        problem(await mine.get(href), 404, "bulk-not-found")
        problem(await mine.post(f"{href}/cancel"), 404, "bulk-not-found")
        assert (await mine.get(f"{API}/bulk")).json()["items"] == []


@pairs
async def test_workflows(place: Place, pair: list[dict[str, Any]]) -> None:
    async with both(place, pair) as (_, mine, theirs):
        body = {
            "jobs": [
                {"ref": "a", "kind": "add", "args": {"a": 1}},
                {"ref": "b", "kind": "total", "inputs": {"parts": "a"}},
            ]
        }
        made = (await mine.post(f"{API}/workflows", json=body)).json()
        for method, path in (("GET", ""), ("POST", "/cancel"), ("POST", "/retry")):
            problem(await theirs.request(method, f"{API}/workflows/{made['id']}{path}"), 404, "job-not-found")
        problem(await theirs.get(f"{API}/batches/{made['id']}"), 404, "job-not-found")
        assert (await theirs.get(f"{API}/workflows")).json()["items"] == []
        assert [each["id"] for each in (await mine.get(f"{API}/workflows")).json()["items"]] == [made["id"]]


@pairs
async def test_others_jobs_are_no_parents(place: Place, pair: list[dict[str, Any]]) -> None:
    """A parent's result would be its child's to read."""
    async with both(place, pair) as (_, mine, theirs):
        id = await enqueue(mine)
        absent = "01900000-0000-7000-8000-000000000000"
        for make in (
            lambda parent: ("jobs", {"kind": "add", "args": {"a": 1}, "after": [parent]}),
            lambda parent: ("jobs/batch", {"jobs": [{"kind": "add", "args": {"a": 1}, "after": [parent]}]}),
            lambda parent: ("workflows", {"jobs": [{"ref": "x", "kind": "total", "inputs": {"parts": parent}}]}),
            lambda parent: ("workflows", {"jobs": [{"ref": "x", "kind": "add", "args": {"a": 1}, "after": [parent]}]}),
            lambda parent: ("batches", {"jobs": [{"kind": "add", "args": {"a": 1}, "after": [parent]}]}),
        ):
            documents = []
            for parent in (id, absent):
                path, body = make(parent)
                document = problem(await theirs.post(f"{API}/{path}", json=body), 422, "unknown-parent")
                documents.append(document["detail"].replace(parent, ""))
            assert documents[0] == documents[1]


@pairs
async def test_unique_keys_neither_tell_nor_change(place: Place, pair: list[dict[str, Any]]) -> None:
    async with both(place, pair) as (_, mine, theirs):
        for body in (
            {"kind": "alone"},
            {"kind": "add", "args": {"a": 1}, "unique": {"key": "k"}},
            {"kind": "add", "args": {"a": 2}, "unique": {"args": ["a"], "on_conflict": "replace"}},
        ):
            body["delay"] = "1h"  # type: ignore[index]
            first = await mine.post(f"{API}/jobs", json=body)
            again = await mine.post(f"{API}/jobs", json=body)
            other = await theirs.post(f"{API}/jobs", json=body)
            assert (first.status_code, again.status_code, other.status_code) == (202, 200, 202)
            assert first.json()["id"] == again.json()["id"] != other.json()["id"]


@pairs
async def test_idempotency_keys_are_their_callers(place: Place, pair: list[dict[str, Any]]) -> None:
    async with both(place, pair) as (_, mine, theirs):
        body, headers = {"kind": "add", "args": {"a": 1}}, {"Idempotency-Key": "one"}
        first = await mine.post(f"{API}/jobs", json=body, headers=headers)
        other = await theirs.post(f"{API}/jobs", json=body, headers=headers)
        assert first.json()["id"] != other.json()["id"]
        assert "idempotency-replayed" not in other.headers


@pairs
async def test_jobs_belong_to_whoever_makes_them(place: Place, pair: list[dict[str, Any]]) -> None:
    async with both(place, pair) as (_, mine, theirs):
        for name in ("user", "project"):
            if name not in pair[1] or (name == "user" and pair[1]["role"] != "user"):
                continue
            foreign = {"kind": "add", "args": {"a": 1}, name: "somebody-else"}
            for path, body in (
                ("jobs", foreign),
                ("jobs/batch", {"jobs": [foreign]}),
                ("workflows", {"jobs": [{"ref": "a", **foreign}]}),
                ("batches", {"jobs": [foreign]}),
            ):
                problem(await theirs.post(f"{API}/{path}", json=body), 403, "out-of-reach")
        job = (await mine.get(f"{API}/jobs/{await enqueue(mine)}")).json()
        assert job["project"] == pair[0].get("project")
        assert job["user"] == (pair[0]["user"] if pair[0]["role"] == "user" else None)


async def test_users_do_not_say_what_they_are_worth(memory: Place) -> None:
    async with opened(memory) as door:
        client = await door.as_("user", plan="basic")
        for extra in ({"plan": "enterprise"}, {"weight": 100}, {"cost": 1}, {"provider": "openai"}):
            problem(await client.post(f"{API}/jobs", json={"kind": "add", "args": {"a": 1}, **extra}), 403, "forbidden")
        job = (await client.get(f"{API}/jobs/{await enqueue(client)}")).json()
        assert job["options"]["plan"] == "basic"


async def test_reserved_names_are_refused(memory: Place) -> None:
    async with opened(memory) as door:
        client = await door.as_("admin")
        for tag in ("workflow", "schedule:nightly", "due:2030"):
            problem(
                await client.post(f"{API}/jobs", json={"kind": "add", "args": {"a": 1}, "tags": [tag]}),
                422,
                "invalid-body",
            )
        for kind in ("windlass.gate", "windlass.prune", "os.system", "__import__"):
            problem(await client.post(f"{API}/jobs", json={"kind": kind}), 422, "unknown-kind")
        problem(
            await client.post(f"{API}/jobs", json={"kind": "add", "args": {"a": 1, "self": 2}}), 422, "invalid-args"
        )
