"""What every route keeps to: problem documents, cursors, idempotency, limits, headers."""

import asyncio
import json
import time
from typing import Any

import msgspec
import pytest

from tests.api_http.kit import SECRET, enqueue, opened, problem, token
from tests.store.kit import Place
from windlass.api.idempotency import SPACE, Remembered
from windlass.values.query import Swap

JOBS = "/api/v1/jobs"
ADD = {"kind": "add", "args": {"a": 1}}


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        (b"", 400, "malformed-body"), (b"{", 400, "malformed-body"), (b'{"kind":"add"}x', 400, "malformed-body"),
        (b"\xef\xbb\xbf{}", 400, "malformed-body"), ('{"kind":"add"}'.encode("utf-16"), 400, "malformed-body"),
        (b'{"kind":"\xff"}', 400, "malformed-body"), (b'{"kind":"add","args":{"a":NaN}}', 400, "malformed-body"),
        (b'{"kind":"add","args":{"a":"\\ud800"}}', 400, "malformed-body"),
        (b'{"kind":"add","args":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, 400, "malformed-body"),
        (b'{"kind":"add","args":' + b'{"a":' * 150 + b"1" + b"}" * 151, 422, "invalid-args"),
        (b'{"kind":"add","args":{"a":1e400}}', 422, "invalid-body"),
        (b'{"kind":"add","args":{"a":' + b"1" * 5_000 + b"}}", 422, "invalid-body"),
        (b"[]", 422, "invalid-body"), (b"null", 422, "invalid-body"), (b'{"kind":7}', 422, "invalid-body"),
        (b'{"kind":"add","nonsense":1}', 422, "invalid-body"), (b'{"kind":"add","priority":101}', 422, "invalid-body"),
        (b'{"kind":"add","priority":true}', 422, "invalid-body"), (b'{"kind":"add","delay":-1}', 422, "invalid-body"),
        (b'{"kind":"add","delay":"soon"}', 422, "invalid-body"),
        (b'{"kind":"add","run_at":"2030-01-01T00:00:00"}', 422, "invalid-body"),
        (b'{"kind":"add","queue":"a b"}', 422, "invalid-body"), (b'{"kind":"add","queue":"a\\n"}', 422, None),
        (b'{"kind":"add","args":{"a":1},"delay":"1s","run_at":"2030-01-01T00:00:00Z"}', 422, "invalid-option"),
        (b'{"kind":"add","args":{"a":1},"on_failure":"run"}', 422, "invalid-option"),
        (b'{"kind":"add","args":{"a":"\\u0000","b":[]}}', 422, "invalid-args"),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
async def test_bodies_that_do_not_fit(memory: Place, text: bytes, status: int, code: str | None) -> None:
    async with opened(memory) as door:
        client = await door.as_("admin")
        answer = await client.post(JOBS, content=text, headers={"Content-Type": "application/json"})
        document = problem(answer, status, code or answer.json().get("code", ""))
        if status == 422:
            assert document["errors"][0]["pointer"] is not None


async def test_pointers_name_the_place(memory: Place) -> None:
    async with opened(memory) as door:
        client = await door.as_("admin")
        for body, pointer in (
            ({"kind": "add", "args": {"a": "x"}}, "/args/a"),
            ({"kind": "add", "args": {}}, "/args/a"),
            ({"kind": "add", "args": {"a": 1}, "unique": {"key": ""}}, "/unique/key"),
            ({"kind": "add", "args": {"a": 1}, "priority": "urgent"}, "/priority"),
            ({"kind": "add", "args": {"a": 1}, "expires": "1s", "expires_at": "2030-01-01T00:00:00Z"}, "/expires_at"),
        ):
            document = (await client.post(JOBS, json=body)).json()
            assert [flaw["pointer"] for flaw in document["errors"]] == [pointer], document
        document = problem(await client.post(JOBS, json={"kind": "ad"}), 422, "unknown-kind")
        assert document["suggestions"] == ["add"]


async def test_other_media_types(memory: Place) -> None:
    async with opened(memory) as door:
        client = await door.as_("admin")
        text = json.dumps(ADD)
        for media in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "",
            "application/jsonx",
        ):
            answer = await client.post(JOBS, content=text, headers={"Content-Type": media})
            problem(answer, 415, "unsupported-media-type")
        for media in ("application/json; charset=utf-8", "application/vnd.x+json"):
            assert (await client.post(JOBS, content=text, headers={"Content-Type": media})).status_code == 202


async def test_large_bodies(memory: Place) -> None:
    async with opened(memory, body_limit=10_000) as door:
        client = await door.as_("admin")
        large = {"kind": "send", "args": {"to": "x" * 20_000}}
        problem(await client.post(JOBS, json=large), 413, "body-too-large")

        async def dripping() -> Any:
            for _ in range(100):
                yield b"x" * 1_000

        answer = await client.post(JOBS, content=dripping(), headers={"Content-Type": "application/json"})
        problem(answer, 413, "body-too-large")
        body = {"jobs": [{"kind": "add", "args": {"a": 1}}] * 10_001}
        problem(await client.post(f"{JOBS}/batch", json=body), 422, "invalid-body")


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=501", "limit=1000000000", "limit=-1", "limit=x", "limit=1&limit=2", "nonsense=1", "offset=5",
        "cursor=garbage", "cursor=" + "A" * 3_000, "cursor=%00", "q=state:nope",
        "q=nope:1", "q=age:old", 'q="open', "q=priority:x",
        "q=" + "a " * 60, "q=" + "x" * 2_001, "state=", "state=nope", "include=secrets",
        "total=maybe", "user=%00", "queue=%00", "q=%00",
    ],
)  # fmt: skip
async def test_parameters_that_do_not_fit(memory: Place, query: str) -> None:
    async with opened(memory) as door:
        client = await door.as_("admin")
        answer = await client.get(f"{JOBS}?{query}")
        assert answer.status_code == 422, answer.text
        (flaw,) = problem(answer, 422, answer.json()["code"])["errors"]
        assert flaw["parameter"] in query or flaw["parameter"] == "q"


async def test_a_cursor_is_of_one_question(memory: Place) -> None:
    async with opened(memory) as door:
        client = await door.as_("admin")
        for n in range(3):
            await enqueue(client, args={"a": n})
        page = await client.get(JOBS, params={"limit": 2, "state": "waiting"})
        cursor = page.json()["next_cursor"]
        links = dict(link.split("; ")[::-1] for link in page.headers["link"].split(", "))
        assert set(links) == {'rel="first"', 'rel="next"'}
        assert len((await client.get(links['rel="next"'].strip("<>"))).json()["items"]) == 1
        problem(await client.get(JOBS, params={"cursor": cursor, "state": "failed"}), 422, "invalid-cursor")


async def test_unknown_addresses_and_methods(memory: Place) -> None:
    async with opened(memory) as door:
        client = await door.as_("admin")
        problem(await client.get("/api/v1/nothing"), 404, "not-found")
        problem(await client.get("/api/v1/jobs/"), 404, "not-found")
        answer = await client.put(JOBS, json={})
        problem(answer, 405, "method-not-allowed")
        assert answer.headers["allow"]
        problem(await client.options(JOBS, headers={"Origin": "https://evil.test"}), 405, "method-not-allowed")
        for id in ("%00", "a%00b", "x" * 5_000, "%F0%9F%92%A9", "..%2F..%2Fetc", "%ED%A0%80"):
            assert (await client.get(f"{JOBS}/{id}")).status_code == 404, id


async def test_headers_of_every_answer(memory: Place) -> None:
    async with opened(memory) as door:
        client = await door.as_("admin")
        for answer in (
            await client.get(JOBS), await client.get("/nope"), await (await door.client()).get(JOBS),
            await client.get("/healthz"), await client.get("/docs"), await client.post(JOBS, content=b"x"),
        ):  # fmt: skip
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
            assert "unsafe-inline" not in answer.headers["content-security-policy"]
            assert answer.headers["cache-control"] == "no-store"
            assert not [name for name in answer.headers if name.startswith("access-control-")]
        answer = await client.get(JOBS, headers={"X-Request-ID": "mine-1"})
        assert answer.headers["x-request-id"] == "mine-1"
        answer = await client.get(JOBS, headers={"X-Request-ID": "a b<script>"})
        assert answer.headers["x-request-id"] != "a b<script>"


async def test_the_allowance_is_told_and_kept(memory: Place) -> None:
    async with opened(memory, rate="3/m") as door:
        client = await door.as_("admin")
        left = []
        for _ in range(3):
            answer = await client.get("/api/v1/self")
            assert answer.headers["ratelimit-policy"] == '"caller";q=3;w=60'
            left.append(answer.headers["ratelimit"].split(";")[1])
        assert left == ["r=2", "r=1", "r=0"]
        answer = await client.get("/api/v1/self")
        problem(answer, 429, "too-many-requests")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert (await (await door.as_("admin", user="bob")).get("/api/v1/self")).status_code == 200


async def test_a_repeated_request_gets_the_first_answer(place: Place) -> None:
    async with opened(place) as door:
        client = await door.as_("admin")
        key = {"Idempotency-Key": "order-7"}
        first = await client.post(JOBS, json=ADD, headers=key)
        again = await client.post(JOBS, json=ADD, headers=key)
        assert again.headers["idempotency-replayed"] == "true"
        assert (again.status_code, again.json(), again.headers["location"]) == (
            202,
            first.json(),
            first.headers["location"],
        )
        assert "idempotency-replayed" not in first.headers
        problem(await client.post(JOBS, json={**ADD, "priority": 1}, headers=key), 422, "idempotency-key-reused")
        assert len((await client.get(JOBS)).json()["items"]) == 1
        problem(await client.post(JOBS, json=ADD, headers={"Idempotency-Key": "a b"}), 400, "invalid-idempotency-key")
        refused = {"Idempotency-Key": "later-right"}
        problem(await client.post(JOBS, json={"kind": "add"}, headers=refused), 422, "invalid-args")
        assert (await client.post(JOBS, json=ADD, headers=refused)).status_code == 202
        for path, body in (
            ("/api/v1/jobs/batch", {"jobs": [ADD, ADD, ADD]}),
            ("/api/v1/workflows", {"jobs": [{"ref": "a", **ADD}, {"ref": "b", **ADD, "after": ["a"]}]}),
            ("/api/v1/batches", {"jobs": [ADD], "then": {"kind": "alone"}}),
            ("/api/v1/bulk", {"action": "cancel", "q": "kind:nothing"}),
        ):
            one, two = [await client.post(path, json=body, headers={"Idempotency-Key": "k"}) for _ in range(2)]
            assert (one.status_code, two.json(), two.headers["idempotency-replayed"]) == (202, one.json(), "true")


async def test_the_largest_answer_is_remembered(place: Place) -> None:
    async with opened(place) as door:
        client = await door.as_("admin")
        body = {"jobs": [ADD] * 10_000}
        one, two = [await client.post(f"{JOBS}/batch", json=body, headers={"Idempotency-Key": "k"}) for _ in range(2)]
        assert (one.json()["created"], two.headers["idempotency-replayed"]) == (10_000, "true")
        assert one.content == two.content


async def test_requests_at_the_same_time_make_one_job(place: Place) -> None:
    async with opened(place) as door:
        client = await door.as_("admin")
        key = {"Idempotency-Key": "rush"}
        answers = await asyncio.gather(*[client.post(JOBS, json=ADD, headers=key) for _ in range(20)])
        assert {answer.status_code for answer in answers} <= {202, 409}
        assert len({answer.json()["id"] for answer in answers if answer.status_code == 202}) == 1
        assert len((await client.get(JOBS)).json()["items"]) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [("jobs", ADD), ("jobs/batch", {"jobs": [ADD, ADD]}), ("workflows", {"jobs": [{"ref": "a", **ADD}]})],
)
async def test_a_process_that_died_before_its_answer(place: Place, path: str, body: Any) -> None:
    """The jobs are stored, the answer is not: a repeat stores the same jobs, which are not made twice."""
    async with opened(place) as door:
        client = await door.as_("admin")
        key = {"Idempotency-Key": "crash"}
        first = (await client.post(f"/api/v1/{path}", json=body, headers=key)).json()
        store = await door.app.store()
        (record,) = await store.records(SPACE)
        known = msgspec.json.decode(record.text or "", type=Remembered)
        died = Remembered(known.fingerprint, known.seed, time.time() + 60)
        text = msgspec.json.encode(died).decode()
        await store.exchange([Swap(space=SPACE, key=record.key, text=text)])
        problem(await client.post(f"/api/v1/{path}", json=body, headers=key), 409, "request-under-way")
        late = msgspec.json.encode(Remembered(known.fingerprint, known.seed, 0.0)).decode()
        await store.exchange([Swap(space=SPACE, key=record.key, text=late)])
        again = await client.post(f"/api/v1/{path}", json=body, headers=key)
        assert (again.status_code, again.json()) == (202, first)
        assert len((await client.get(JOBS)).json()["items"]) == (2 if path == "jobs/batch" else 1)


async def test_the_host_application_says_who_it_is(memory: Place) -> None:
    from windlass.api.caller import Caller, Role

    async def authenticate(request: Any) -> Caller | None:
        name = request.cookies.get("session")
        return Caller(user=name, role=Role.USER) if name else None

    async with opened(memory, authenticate=authenticate) as door:
        client = await door.client(Cookie="session=ann")
        assert (await client.get("/api/v1/self")).json()["user"] == "ann"
        problem(await (await door.client()).get("/api/v1/self"), 401, "unauthenticated")
        for headers in (
            {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
            {"Origin": "https://evil.test"}, {"Origin": "null"},
        ):  # fmt: skip
            problem(await client.post(JOBS, json=ADD, headers=headers), 403, "cross-site")
            assert (await client.get("/api/v1/self", headers=headers)).status_code == 200
        for headers in ({}, {"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://api.test"}):
            assert (await client.post(JOBS, json=ADD, headers=headers)).status_code == 202
        evil = {"Sec-Fetch-Site": "cross-site", "Authorization": f"Bearer {token()}"}
        assert (await client.post(JOBS, json=ADD, headers=evil)).status_code == 202


async def test_nothing_a_client_says_reaches_the_log(memory: Place, caplog: pytest.LogCaptureFixture) -> None:
    canary = "canary-7f3a"
    caplog.set_level("DEBUG")
    async with opened(memory) as door:
        client = await door.as_("admin")
        await enqueue(client, "send", {"to": canary, "body": canary})
        for body in ({"kind": "add", "args": {"a": canary}}, {"kind": canary}, {"kind": "add", canary: 1}):
            await client.post(JOBS, json=body, headers={"X-Note": canary})
        await client.get(JOBS, params={"q": f"args.to:{canary}"})
        await client.get(f"{JOBS}/{canary}")
        await (await door.client(canary)).get(JOBS)
        await client.post("/api/v1/keys", json={"name": canary})

        async def broken() -> None:
            raise ValueError(canary)

        door.app.store = broken  # type: ignore[method-assign]
        problem(await client.get("/api/v1/metrics"), 500, "internal")
    ours = [record for record in caplog.records if record.name.startswith("windlass")]
    told = "\n".join(f"{record.getMessage()} {record.exc_text or ''}" for record in ours)
    assert "ValueError" in told
    assert "POST /jobs 202" in told
    assert canary not in told
    assert SECRET not in told


async def test_secrets_are_write_only(memory: Place) -> None:
    async with opened(memory) as door:
        client = await door.as_("admin")
        made = (
            await client.post("/api/v1/keys", json={"name": "k", "role": "viewer"}, headers={"Idempotency-Key": "k"})
        ).json()
        secret = made["key"].split("_", 2)[2]
        from windlass.api.asgi import RESOURCES

        reads = [o for routes in RESOURCES for o in routes if o.method == "GET" and not o.params and not o.streams]
        for operation in reads:
            text = (await client.get(f"/api/v1{operation.path}")).text
            assert secret not in text and SECRET not in text
            assert "hash" not in text or operation.name != "list_keys"
        store = await door.app.store()
        for space in (SPACE, "api-key"):
            assert secret not in "".join(record.text or "" for record in await store.records(space))
