"""The table of founding paths: complete, closed as the canonical operations are, each reached by its own address."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Match

from tests.api_http.founding_kit import VIDEO, founded
from tests.api_http.kit import problem
from tests.store.kit import Place
from windlass.api.caller import Role
from windlass.api.founding.table import TABLE, operations
from windlass.api.operation import Operation
from windlass.api.permissions import OPERATIONS, ROLES
from windlass.compat.wording import RESERVED

EVERY = operations()
JSON = {"Content-Type": "application/json"}
PATHS = """
E01 GET /api/jobs/metrics/queue/{}             E02 GET /api/jobs/metrics/user
E03 GET /api/jobs/dead-letter                  E04 POST /api/jobs/dead-letter/{}/retry
E05 POST /api/jobs/dead-letter/cleanup         E06 GET /api/jobs/user
E07 GET /api/jobs/user/{}                      E08 POST /api/jobs/user/{}/cancel
E09 GET /api/jobs/dashboard                    E10 GET /api/jobs/dashboard/stats
E11 GET /api/jobs/dashboard/jobs/{}            E12 GET /api/jobs/status/{}/{}
E13 GET /api/jobs/stats/{}                     E14 POST /api/jobs/cancel/{}/{}
E15 POST /api/jobs/retry/{}/{}                 E16 POST /api/jobs/{}
E17 GET /api/jobs/{}/{}                        E18 GET /api/jobs/{}/{}/progress
E19 GET /api/jobs/{}/{}/result                 E20 DELETE /api/jobs/{}/{}
E21 POST /api/jobs/{}/{}/retry                 E22 POST /api/jobs/delayed
E23 POST /api/jobs/recurring                   E24 DELETE /api/jobs/recurring/{}
E25 GET /api/jobs/user/{}/history              E26 GET /api/jobs/stats
E27 GET /api/jobs/queues/stats                 E28 GET /api/jobs/health
E29 GET /api/jobs/performance                  E30 POST /api/jobs/queues/{}/pause
E31 POST /api/jobs/queues/{}/resume            E32 DELETE /api/jobs/queues/{}/clear
E33 GET /api/jobs/types                        E34 GET /api/v1/queue/enhanced/{}/metrics
E35 GET /api/v1/queue/enhanced/{}/health       E36 GET /api/v1/queue/enhanced/{}/performance
E37 GET /api/v1/queue/enhanced/metrics/all     E38 GET /api/v1/queue/enhanced/{}/dlq
E39 GET /api/v1/queue/enhanced/{}/dlq/stats    E40 POST /api/v1/queue/enhanced/{}/dlq/{}/retry
E41 POST /api/v1/queue/enhanced/{}/dlq/process-retries
E42 DELETE /api/v1/queue/enhanced/{}/dlq/purge E43 POST /api/v1/queue/enhanced/{}/jobs
E44 GET /api/v1/queue/enhanced/{}/priority-distribution
E45 GET /api/jobs/queues/{}                    E46 DELETE /api/jobs/queues/{}
E47 POST /api/jobs/retry                       E48 POST /api/jobs/schedule
"""


def address(operation: Operation) -> str:
    return re.sub(r"{\w+}", "nothing", operation.path)


def test_the_table_has_the_48_paths() -> None:
    wanted = re.findall(r"(E\d\d) (\w+) (\S+)", PATHS)
    assert [(row.id, row.method, re.sub(r"{\w+}", "{}", row.path)) for row in TABLE] == wanted
    assert len(wanted) == 48
    for row in TABLE:
        assert row.operation in OPERATIONS, row.id


def test_each_path_has_a_test() -> None:
    here = Path(__file__).parent
    text = "".join((here / f"test_founding_{name}.py").read_text() for name in ("jobs", "queues"))
    assert sorted(re.findall(r"^async def test_(e\d\d)_", text, re.M)) == [row.id.lower() for row in TABLE]


async def test_words_win_over_names(memory: Place) -> None:
    """Every path, and every path with the words of another in its places, reaches the most literal one that fits."""
    async with founded(memory) as door:
        routes = [
            route for route in _routes(door.asgi) if str(getattr(route, "operation_id", "")).startswith("founding_")
        ]
        assert len(routes) == 48
        literal = {operation.name: operation.path.split("/") for operation in EVERY}
        for one, other in itertools.product(EVERY, EVERY):
            if len(literal[one.name]) != len(literal[other.name]):
                continue
            pairs = zip(literal[one.name], literal[other.name], strict=True)
            path = "/".join(b if a.startswith("{") and not b.startswith("{") else a for a, b in pairs)
            path = re.sub(r"{\w+}", "nothing", path)
            scope = {"type": "http", "method": one.method, "path": path, "headers": [], "root_path": ""}
            reached = next(route for route in routes if route.matches(scope)[0] is Match.FULL)
            fitting = [each for each in EVERY if each.method == one.method and _fits(each, path)]
            best = min(fitting, key=lambda each: [part.startswith("{") for part in each.path.split("/")])
            assert reached.operation_id == best.name, path


def _routes(asgi: Any) -> list[Any]:
    return list(asgi._app.routes)


def _fits(operation: Operation, path: str) -> bool:
    return re.fullmatch(re.sub(r"{\w+}", "[^/]+", operation.path), path) is not None


@pytest.mark.parametrize("role", [None, *Role], ids=str)
async def test_every_path_by_role(memory: Place, role: Role | None) -> None:
    async with founded(memory, failures="100000/s") as door:
        client = await door.client() if role is None else await door.as_(role)
        for operation in EVERY:
            answer = await client.request(operation.method, address(operation))
            if role is None:
                problem(answer, 401, "unauthenticated")
            elif operation.permission in ROLES[role]:
                assert answer.status_code not in (401, 405) and answer.status_code < 500, (operation, answer.text)
                assert answer.json().get("code") != "forbidden", operation
            else:
                problem(answer, 403, "forbidden")


@pytest.mark.parametrize("word", sorted(RESERVED))
async def test_words_of_the_paths_name_no_new_queue(memory: Place, word: str) -> None:
    async with founded(memory) as door:
        client = await door.as_("admin")
        door.app.declare(word, None)
        bodies = {
            f"/api/v1/queue/enhanced/{word}/jobs": {"name": "add", "data": {"a": 1}},
            "/api/jobs/delayed": {"jobType": word, "data": {}, "delay": 1},
            "/api/jobs/recurring": {"jobType": word, "data": {}, "cronExpression": "* * * * *"},
            "/api/jobs/schedule": {"queueName": word, "data": {}, "every": 1000},
        }
        if word not in ("delayed", "recurring", "retry", "schedule"):
            bodies[f"/api/jobs/{word}"] = {}
        for path, body in bodies.items():
            problem(await client.post(path, json=body), 422, "reserved-name")
        assert (await client.post("/api/v1/jobs", json={"kind": word})).status_code == 202


async def test_what_there_is_not_yet_is_said(memory: Place) -> None:
    async with founded(memory) as door:
        client = await door.as_("admin")
        for word in ("removeOnComplete", "removeOnFail", "webhookUrl", "alert"):
            for body in ({"data": {"a": 1}, word: 1}, {"data": {"a": 1}, "options": {word: 1}}):
                found = problem(await client.post("/api/jobs/add", json=body), 501, "not-available")
                assert found["errors"][0]["pointer"] == f"/{word}"
        assert (await client.get("/api/v1/jobs")).json()["items"] == []


async def test_they_can_be_switched_off(memory: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async with founded(memory, founding="off") as door:
        client = await door.as_("admin")
        for operation in EVERY:
            problem(await client.request(operation.method, address(operation)), 404, "not-found")
        assert (await client.get("/api/v1/jobs")).status_code == 200
    monkeypatch.setenv("WINDLASS_API_FOUNDING", "off")
    async with founded(memory) as door:
        client = await door.as_("admin")
        problem(await client.post("/api/jobs/video-generation", json=VIDEO), 404, "not-found")


async def test_tenants_do_not_meet(memory: Place) -> None:
    """What one project's caller does by any path neither shows nor changes another's."""
    async with founded(memory) as door:
        red, blue = await door.as_("operator", project="red"), await door.as_("operator", project="blue")
        body = {name: value for name, value in VIDEO.items() if name != "projectId"}
        id = (await red.post("/api/jobs/video-generation", json=body)).json()["id"]
        for method, path in (
            ("GET", f"/api/jobs/video-generation/{id}"),
            ("GET", f"/api/jobs/video-generation/{id}/progress"),
            ("GET", f"/api/jobs/video-generation/{id}/result"),
            ("GET", f"/api/jobs/user/{id}"),
            ("GET", f"/api/jobs/status/video-generation/{id}"),
            ("DELETE", f"/api/jobs/video-generation/{id}"),
            ("POST", f"/api/jobs/video-generation/{id}/retry"),
            ("POST", f"/api/jobs/cancel/video-generation/{id}"),
        ):
            problem(await blue.request(method, path), 404, "job-not-found")
        await door.app.jobs.fail(id, reason="by hand")
        assert (await blue.get("/api/jobs/dead-letter")).json()["jobs"] == []
        assert (await blue.get("/api/jobs/dashboard/jobs/video-generation")).json()["jobs"] == []
        assert (await blue.get("/api/jobs/user/user-123/history")).json()["jobs"] == []
        assert (await blue.post("/api/jobs/dead-letter/cleanup", json={"days": 0})).json()["deleted"] == 0
        assert (await blue.post("/api/jobs/retry", json={"jobIds": [id]})).json()["retried"] == []
        assert str((await door.app.jobs.get(id)).state) == "failed"


ODD = [None, 0, -1, 1.5, 1e300, True, "", "x", "\x00", "\ud800", [], [1], {}, {"x": {}}, "9" * 300]
WORDS = [
    "data", "options", "priority", "delay", "runAt", "attempts", "backoff", "retryStrategy", "timeout", "uniqueKey", "tags",
    "userSubscription", "skipCache", "name", "userId", "projectId", "jobType", "queueName", "cronExpression", "cron", "every",
    "timezone", "date", "jobId", "jobIds", "keepAttempts", "reason", "days", "self", "args", "ctx",
]  # fmt: skip


async def test_odd_bodies_are_refused_and_break_nothing(memory: Place) -> None:
    async with founded(memory, rate="off") as door:
        client = await door.as_("admin")
        bases = {
            "/api/jobs/add": {"data": {"a": 1}},
            "/api/jobs/process-video": {},
            "/api/jobs/delayed": {"jobType": "add", "data": {"a": 1}, "delay": 1},
            "/api/jobs/recurring": {"jobType": "add", "data": {"a": 1}, "cronExpression": "0 0 * * *"},
            "/api/jobs/schedule": {"jobType": "add", "data": {"a": 1}, "every": 60000},
            "/api/jobs/retry": {"jobId": "x"},
            "/api/jobs/dead-letter/cleanup": {"days": 30},
            "/api/v1/queue/enhanced/deploy-contract/jobs": {"name": "deploy", "data": {}},
        }
        broken: list[object] = []
        for path, base in bases.items():
            for value in ODD:
                for body in (value, *({**base, word: value} for word in WORDS)):
                    answer = await client.post(path, content=json.dumps(body), headers=JSON)
                    if answer.status_code >= 500:
                        broken.append((path, body, answer.text))
        assert broken == []


def test_each_says_what_it_does() -> None:
    assert all(operation.description for operation in EVERY)
