"""Real servers on loopback: `windlass serve` as a process, and the API mounted in a host application."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import uvicorn
from fastapi import FastAPI

from tests.api_http.kit import ISSUER, SECRET, enqueue, make_app, problem, token
from tests.store.kit import Place
from tests.waiting import until
from windlass import Windlass
from windlass.api.asgi import openapi

APP = """
from windlass import Windlass

app = Windlass("sqlite:///jobs.db")

@app.job
async def add(a: int, b: int = 2) -> int:
    return a + b
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WINDLASS_", "REDIS_"))}
    return {**kept, **settings}


def command(folder: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    (folder / "shop.py").write_text(APP)
    return subprocess.run(
        [sys.executable, "-m", "windlass", *words],
        cwd=folder, env=environment(**settings), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@contextmanager
def served(folder: Path, port: int, *words: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    (folder / "shop.py").write_text(APP)
    words = ("serve", "-A", "shop", "--port", str(port), *words)
    with (folder / "log").open("w") as log, subprocess.Popen(
        [sys.executable, "-m", "windlass", *words],
        cwd=folder, env=environment(**settings), stderr=log, text=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


async def answers(client: httpx.AsyncClient) -> Any:
    async def ask() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return (await client.get("/readyz")).status_code == 200
        return False

    await until(ask, "the server to answer")


async def test_on_this_machine_it_needs_no_credentials_until_there_is_a_key(tmp_path: Path) -> None:
    port = free_port()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        with served(tmp_path, port):
            await answers(client)
            id = await enqueue(client)
            assert (await client.get(f"/api/v1/jobs/{id}")).json()["state"] == "waiting"
            assert (await client.get("/openapi.json")).json()["openapi"] == "3.1.0"
            assert "<script" not in (await client.get("/docs")).text
            for headers in (
                {"Host": "evil.test"}, {"X-Forwarded-For": "203.0.113.9"}, {"Forwarded": "for=203.0.113.9"}, {"Via": "1.1 x"},
                {"Authorization": "Bearer wrong"},
            ):  # fmt: skip
                assert (await client.get("/api/v1/jobs", headers=headers)).status_code == 401, headers
            forged = {"Origin": "https://evil.test", "Sec-Fetch-Site": "cross-site"}
            assert (await client.post("/api/v1/jobs", json={"kind": "add"}, headers=forged)).status_code == 403
        made = command(tmp_path, "keys", "create", "main", "--role", "admin", "--url", "sqlite:///jobs.db")
        assert made.returncode == 0, made.stderr
        port = free_port()
        client.base_url = httpx.URL(f"http://127.0.0.1:{port}")
        with served(tmp_path, port):
            await answers(client)
            assert (await client.get("/api/v1/jobs")).status_code == 401
            bearer = {"Authorization": f"Bearer {made.stdout.strip()}"}
            assert (await client.get("/api/v1/jobs?q=args.a:1", headers=bearer)).status_code == 200
        log = (tmp_path / "log").read_text()
        assert "GET /jobs 200" in log
        assert "args.a" not in log and made.stdout.strip() not in log


def test_it_refuses_to_be_open_to_others(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        done = command(tmp_path, "serve", "-A", "shop", "--host", host, "--port", "0")
        assert done.returncode == 2
        assert "nothing tells callers apart" in done.stderr


@pytest.mark.parametrize("secret", ["short", " " * 40, "secretsecretsecretsecretsecretsecret"])
def test_it_refuses_weak_secrets(tmp_path: Path, secret: str) -> None:
    done = command(tmp_path, "serve", "-A", "shop", "--port", "0", WINDLASS_API_JWT_SECRET=secret)
    assert done.returncode == 2
    assert "jwt_secret" in done.stderr
    assert not secret.strip() or secret not in done.stderr


def test_the_document_and_the_page_are_printed(tmp_path: Path) -> None:
    assert json.loads(command(tmp_path, "openapi").stdout) == json.loads(json.dumps(openapi()))
    assert command(tmp_path, "openapi", "--html").stdout.startswith("<!doctype html>")


@asynccontextmanager
async def hosted(host: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A host application on a real server in this loop."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(host, host="127.0.0.1", port=port, log_config=None, lifespan="on"))
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started, "the server to start")
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        await task


async def test_mounted_under_a_prefix(place: Place) -> None:
    app: Windlass = make_app(place)
    host = FastAPI(lifespan=app.lifespan)
    host.mount("/queue/of/jobs", app.asgi(jwt_secret=SECRET, jwt_issuer=ISSUER, jwt_audience="windlass"))
    async with hosted(host) as client:
        client.headers["Authorization"] = f"Bearer {token(role='admin')}"
        prefix = "/queue/of/jobs/api/v1"
        made = await client.post(f"{prefix}/jobs", json={"kind": "add", "args": {"a": 1}})
        assert made.status_code == 202
        assert made.headers["location"].startswith(f"{prefix}/jobs/")
        assert (await client.get(made.headers["location"])).json()["state"] == "waiting"
        await client.post(f"{prefix}/jobs", json={"kind": "add", "args": {"a": 2}})
        page = await client.get(f"{prefix}/jobs", params={"limit": 1})
        following = page.headers["link"].split(", ")[1].split(">")[0].strip("<")
        assert len((await client.get(following)).json()["items"]) == 1
        document = (await client.get("/queue/of/jobs/openapi.json")).json()
        assert document["servers"] == [{"url": "/queue/of/jobs"}]
        problem(await client.get("/queue/of/jobs/api/v1/nothing"), 404, "not-found")
        assert (await client.get("/api/v1/jobs")).json() == {"detail": "Not Found"}


async def test_behind_a_proxy_that_cuts_off_a_prefix(tmp_path: Path) -> None:
    port = free_port()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        with served(tmp_path, port, "--root-path", "/queue"):
            await answers(client)
            made = await client.post("/api/v1/jobs", json={"kind": "add", "args": {"a": 1}})
            assert made.headers["location"] == f"/queue/api/v1/jobs/{made.json()['id']}"
            assert (await client.get("/openapi.json")).json()["servers"] == [{"url": "/queue"}]


async def test_a_worker_in_the_same_process(tmp_path: Path) -> None:
    port = free_port()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
        with served(tmp_path, port, START_WORKERS="true") as process:
            await answers(client)
            id = await enqueue(client, args={"a": 40})
            answer = await client.get(f"/api/v1/jobs/{id}/result", params={"wait": "30s"})
            assert (answer.status_code, answer.json()["result"]) == (200, 42)
            assert len((await client.get("/api/v1/workers")).json()["items"]) == 1
            process.terminate()
            assert process.wait(30) == 0


def test_keys_on_the_command_line(tmp_path: Path) -> None:
    at = ("--url", "sqlite:///jobs.db", "-o", "json")
    made = json.loads(
        command(tmp_path, "keys", "create", "shop", "--user", "shop", "--scopes", "jobs:read", *at).stdout
    )
    assert made["key"].startswith(f"wl_{made['id']}_")
    (listed,) = json.loads(command(tmp_path, "keys", "ls", *at).stdout)["items"]
    assert (listed["id"], listed["scopes"], "hash" in listed) == (made["id"], ["jobs:read"], False)
    assert command(tmp_path, "keys", "revoke", made["id"], *at).returncode == 0
    assert json.loads(command(tmp_path, "keys", "ls", *at).stdout)["items"][0]["revoked_at"]
    assert command(tmp_path, "keys", "revoke", "nothing", *at).returncode == 4
    for wrong in (("--scopes", "everything"), ("--user", "a b"), ("--expires", "soon"), ("--role", "root")):
        assert command(tmp_path, "keys", "create", "x", *wrong, *at).returncode == 2, wrong


async def test_a_body_without_end_is_cut_off(memory: Place) -> None:
    app = make_app(memory)
    host = FastAPI(lifespan=app.lifespan)
    host.mount("/", app.asgi(jwt_secret=SECRET, jwt_issuer=ISSUER, jwt_audience="windlass", body_limit=10_000))
    async with hosted(host) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        head = f"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\n"
        head += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head.encode())
        with contextlib.suppress(ConnectionError):
            for _ in range(1_000):
                writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
                await writer.drain()
        assert b" 413 " in (await reader.readline())
        writer.close()
