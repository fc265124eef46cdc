"""No secret value is in plain anywhere: in the store's bytes, logs at DEBUG, the audit, the API, the command line, any repr."""

import io
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.api_http.kit import SECRET, token
from tests.secrecy.kit import CANARY, FIRST, make_app, raw_bytes
from tests.store.kit import Place, prune_all
from tests.store.places import a_file_and_a_server
from windlass import Windlass
from windlass.values.query import AuditQuery, Retention

CORE = "canary-7f3a"
"""The part of the secret that no escaping changes."""

CONTROL = "control-5be1"
"""A plain argument."""


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Everything that any logger says, at DEBUG, except what handlers themselves print and log."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


async def fill(app: Windlass) -> dict[str, str]:
    """Jobs that end well, fail, wait for a signal, are cached, unique, scheduled; their ids."""
    kinds = app.kind
    refs = {
        "paid": await kinds("pay").enqueue(CANARY),
        "declined": await kinds("pay").enqueue(CANARY, fail=True),
        "in": await kinds("login").enqueue("bob", CANARY),
        "out": await kinds("login").enqueue("bob", CANARY, fail=True),
        "durable": await kinds("durable").enqueue(CANARY),
        "single": await kinds("single").enqueue(CANARY),
        "replaced": await kinds("replaced").enqueue(CANARY, CANARY),
        "known": await kinds("looked_up").enqueue(CANARY),
        "plain": await kinds("length").enqueue(CONTROL),
        "thread": await kinds("threaded").enqueue(CANARY),
    }
    await app.publish_kinds()
    await app.drain()
    await app.jobs.signal(refs["durable"].id, "approved", {"pin": CANARY})
    await app.schedules.put("yearly", kinds("pay").job(CANARY), cron="0 0 1 1 *")
    refs["late"] = await kinds("pay").options(delay="1h").enqueue(CANARY)
    refs["waits"] = await kinds("login").options(delay="1h").enqueue("ann", CANARY)
    return {name: ref.id for name, ref in refs.items()}


async def test_nothing_of_it_is_in_the_store(place: Place, logged: io.StringIO) -> None:
    app = make_app(place)
    async with app:
        ids = await fill(app)
        store = await app.store()
        seen = [repr(await app.jobs.get(id)) + repr(await app.jobs.explain(id)) for id in ids.values()]
        seen += [repr(await store.log(id, 1_000)) + repr(await store.steps(id)) for id in ids.values()]
        seen += [
            repr(await store.audit(AuditQuery(limit=1_000))),
            repr(await store.schedules()),
            repr(await app.jobs.list()),
        ]
        seen += [repr(app.kind("pay").job(CANARY)), repr(app.kind("login").job("x", CANARY)), repr(app.secrecy.keys)]
        raw = raw_bytes(place)
        told = "".join(seen)
    assert CORE not in told
    assert CORE not in logged.getvalue()
    assert FIRST not in told + logged.getvalue()
    assert CORE.encode() not in raw
    assert FIRST.encode() not in raw
    if place.crosses_processes:
        assert CONTROL.encode() in raw  # what is not secret is found there, so a secret would be


async def test_nothing_of_it_remains_of_deleted_jobs(place: Place) -> None:
    """Nor do plain arguments: what retention keeps of a job is its history."""
    app = make_app(place)
    async with app:
        ids = await fill(app)
        store = await app.store()
        await prune_all(store, Retention(completed=0, failed=0, cancelled=0, logs=0, results=0))
        gone = [id for id in ids.values() if await store.past(id) is not None]
        assert {ids["paid"], ids["declined"], ids["in"], ids["out"], ids["plain"], ids["thread"]} <= set(gone)
        told = "".join([repr(await store.past(id)) + repr(await app.jobs.history(id)) for id in gone])
        assert CORE not in told and CONTROL not in told
        assert CORE.encode() not in raw_bytes(place)


async def test_nothing_of_it_is_in_the_api(place: Place) -> None:
    app = make_app(place)
    async with app:
        ids = await fill(app)
        asgi = app.asgi(jwt_secret=SECRET, jwt_issuer="https://issuer.test", jwt_audience="windlass")
        transport = httpx.ASGITransport(asgi, raise_app_exceptions=False, client=("192.0.2.1", 4711))
        headers = {"Authorization": f"Bearer {token('root', 'admin')}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://api.test", headers=headers) as client:
            told = ""
            parts = "args,result,attempts,options,traceback"
            for id in ids.values():
                for path in ("", "/result", "/progress", "/explain", "/steps", "/log", "/history"):
                    answer = await client.get(f"/api/v1/jobs/{id}{path}")
                    assert answer.status_code in (200, 202), (path, answer.text)
                    told += answer.text
            for path in (f"jobs?include={parts}", "dead-letters", "schedules", "kinds", "audit", "limits", "workers"):
                told += (await client.get(f"/api/v1/{path}")).text
            made = await client.post(f"/api/v1/jobs/{ids['paid']}/clone", json={})
            assert made.status_code == 202, made.text
            part = await client.post(f"/api/v1/jobs/{ids['waits']}/clone", json={"args": {"user": "eve"}})
            assert part.status_code == 202, part.text
            refused = await client.post("/api/v1/jobs", json={"kind": "login", "args": {"password": CANARY}})
            assert refused.status_code == 422
            again = [{"kind": "pay", "args": {"card": CANARY}}]
            headers = {"Idempotency-Key": "once"}
            answers = [await client.post("/api/v1/jobs", json=again[0], headers=headers) for _ in range(2)]
            assert answers[0].json()["id"] == answers[1].json()["id"]
            told += made.text + part.text + refused.text + answers[0].text
        assert CORE not in told
        assert "[encrypted]" in told
        assert "$sealed:" not in told
        await app.drain()
        assert await app.result_of(made.json()["id"]) == {"paid": CANARY}
        assert await app.result_of(answers[0].json()["id"]) == {"paid": CANARY}
        clone = await app.jobs.reveal(part.json()["id"])
        assert clone.job.args == {"user": "eve", "password": CANARY, "fail": False}
        assert CORE.encode() not in raw_bytes(place)


@pytest.mark.parametrize("shared_place", a_file_and_a_server(__name__), indirect=True)
async def test_nothing_of_it_is_on_the_command_line(shared_place: Place, tmp_path: Path) -> None:
    place = shared_place
    app = make_app(place)
    async with app:
        ids = await fill(app)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WINDLASS_", "REDIS_"))}
    settings = {"WINDLASS_URL": place.url, "WINDLASS_NAMESPACE": place.namespace, "WINDLASS_MAINTENANCE": "off"}

    def windlass(*words: str, keys: str | None = None) -> tuple[int, str]:
        own = {} if keys is None else {"WINDLASS_ENCRYPTION_KEYS": keys}
        done = subprocess.run(
            [sys.executable, "-m", "windlass", *words],
            env={**kept, **settings, **own},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    told = windlass("jobs", "show", *ids.values())[1] + windlass("jobs", "show", *ids.values(), "-o", "json")[1]
    told += windlass("jobs", "ls", "-o", "json")[1] + windlass("dead", "ls", "-o", "json")[1]
    told += windlass("jobs", "explain", ids["late"])[1] + windlass("schedules", "ls", "-o", "json")[1]
    assert CORE not in told
    assert "[encrypted]" in told
    assert "1.one." not in told
    code, text = windlass("encryption", "status", "-o", "json", keys=f"one:{FIRST}")
    assert (code, '"missing":[]' in text.replace(" ", "")) == (0, True)
    assert FIRST not in text
    assert windlass("encryption", "status")[0] == 1
    assert windlass("encryption", "rotate", keys=f"one:{FIRST}")[0] == 0
    code, text = windlass("encryption", "rotate", keys=f"two:{FIRST[::-1]},one:{FIRST}")
    assert (code, "still needed: one" in text, "not encrypted again yet" in text) == (1, True, True)
    code, key = windlass("encryption", "generate", "--id", "two")
    assert (code, key.startswith("two:")) == (0, True)
