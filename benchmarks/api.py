"""`python -m benchmarks.api [--url URL]`: what the REST API takes per process, authentication on, over real HTTP on loopback.

The server is `windlass serve` in a process of its own; the client is this process, over keep-alive connections and without a
library, so that it costs less than what it measures. Both share two cores (`--cores`).
"""

import argparse
import asyncio
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
import psutil
import uvloop

APP = """
from windlass import Windlass

app = Windlass(maintenance=False)

@app.job
async def work(n: int, to: str = "somebody") -> dict[str, int]:
    return {"n": n}
"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api", description=__doc__)
    parser.add_argument("--url", help="the store; a SQLite file if none is given")
    parser.add_argument("--requests", type=int, default=10_000, help="single creates a round")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--batch", type=int, default=5_000, help="jobs a bulk create")
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--listed", type=int, default=0, help="fill the store to so many jobs before lists are timed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    return parser.parse_args()


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def ask(self, request: bytes) -> "asyncio.Future[tuple[int, bytes]]":
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._waiting

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self._waiting is None:
            return
        head = bytes(self._buffer[:end]).lower()
        at = head.index(b"content-length: ") + 16
        size = int(head[at:].split(b"\r", 1)[0])
        if len(self._buffer) >= end + 4 + size:
            body = bytes(self._buffer[end + 4 : end + 4 + size])
            del self._buffer[: end + 4 + size]
            self._waiting.set_result((int(head[9:12]), body))

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError("the server closed the connection"))

    def close(self) -> None:
        self._transport.close()


def request(method: str, path: str, bearer: str, body: Any = None) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {bearer}\r\n"
    if content:
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    return head.encode() + b"\r\n" + content


async def connect(port: int, count: int) -> list[Connection]:
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(Connection, "127.0.0.1", port))[1] for _ in range(count)]


async def per_second(port: int, connections: int, requests: int, make: Callable[[int], bytes]) -> tuple[float, float]:
    """Requests per second over so many connections, and the 95th percentile of their latency in milliseconds."""
    lines = await connect(port, connections)
    numbers = iter(range(requests))
    latencies: list[float] = []

    async def drive(line: Connection) -> None:
        for number in numbers:
            text = make(number)
            began = time.perf_counter()
            status, body = await line.ask(text)
            latencies.append(time.perf_counter() - began)
            if status not in (200, 202):
                raise RuntimeError(f"{status}: {body[:300]!r}")

    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for line in lines:
            tasks.create_task(drive(line))
    took = time.perf_counter() - began
    for line in lines:
        line.close()
    return requests / took, statistics.quantiles(latencies, n=20)[-1] * 1_000


class Processor:
    """What the server's processor time was since the last look: it hardly minds what else the machine does."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._seen = 0.0
        self.lap()

    def lap(self) -> float:
        times = self._process.cpu_times()
        before, self._seen = self._seen, times.user + times.system
        return self._seen - before


async def measure(port: int, bearers: dict[str, str], given: argparse.Namespace, server: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    processor = Processor(server)
    for name, bearer in bearers.items():
        processor.lap()
        rates: list[float] = []
        for _ in range(given.rounds):
            texts = [request("POST", "/api/v1/jobs", bearer, {"kind": "work", "args": {"n": n}}) for n in range(100)]
            rate, p95 = await per_second(port, given.connections, given.requests, lambda n, texts=texts: texts[n % 100])
            rates.append(rate)
        found[f"post_jobs_per_s_{name}"] = round(statistics.median(rates))
        found[f"post_jobs_p95_ms_{name}"] = round(p95, 2)
        found[f"post_jobs_server_cpu_us_{name}"] = round(processor.lap() / given.requests / given.rounds * 1e6)
    bearer = bearers["jwt"]
    jobs = [{"kind": "work", "args": {"n": n, "to": "a@example.com"}} for n in range(given.batch)]
    bulk = request("POST", "/api/v1/jobs/batch", bearer, {"jobs": jobs})
    rates = []
    for _ in range(given.rounds):
        rate, _ = await per_second(port, 2, given.batches, lambda _: bulk)
        rates.append(rate * given.batch)
    found["bulk_jobs_per_s"] = round(statistics.median(rates))
    found["bulk_server_cpu_us_per_job"] = round(processor.lap() / given.batches / given.batch / given.rounds * 1e6, 1)
    while given.listed and (missing := given.listed - await count(port, bearer)) > 0:
        await per_second(port, 2, max(2, min(missing // given.batch + 1, 50)), lambda _: bulk)
    found["jobs_stored"] = await count(port, bearer)
    for name, query in (("list", ""), ("list_failed", "?state=failed"), ("list_kind", "?kind=work&limit=50")):
        _, p95 = await per_second(port, 1, 200, lambda _, q=query: request("GET", f"/api/v1/jobs{q}", bearer))
        found[f"{name}_p95_ms"] = round(p95, 2)
    return found


async def count(port: int, bearer: str) -> int:
    (line,) = await connect(port, 1)
    _, body = await line.ask(request("GET", "/api/v1/queues", bearer))
    line.close()
    return sum(sum(queue["counts"].values()) for queue in json.loads(body)["items"])


@contextmanager
def server(folder: Path, environment: dict[str, str], port: int) -> Iterator[int]:
    command = [sys.executable, "-m", "windlass", "serve", "-A", "work", "--port", str(port), "--log-level", "warning"]
    with subprocess.Popen(command, cwd=folder, env=environment) as process:
        try:
            end = time.monotonic() + 30
            while time.monotonic() < end and process.poll() is None:
                try:
                    socket.create_connection(("127.0.0.1", port), 0.2).close()
                    break
                except OSError:
                    time.sleep(0.05)
            yield process.pid
        finally:
            process.terminate()
            process.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(act: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        return await act()

    return uvloop.run(main())


def main() -> None:
    given = arguments()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: given.cores]))
    with tempfile.TemporaryDirectory(prefix="windlass-bench-") as name:
        folder = Path(name)
        (folder / "work.py").write_text(APP)
        secret = secrets.token_urlsafe(48)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("WINDLASS_")}
        environment["WINDLASS_URL"] = given.url or f"sqlite:///{folder / 'jobs.db'}"
        environment["WINDLASS_NAMESPACE"] = f"bench{os.getpid()}"
        environment["WINDLASS_API_JWT_SECRET"] = secret
        environment["WINDLASS_API_RATE"] = "10000000/m"
        claims = {"sub": "bench", "role": "admin", "exp": int(time.time()) + 3_600}
        create = [sys.executable, "-m", "windlass", "keys", "create", "bench", "--role", "admin"]
        key = subprocess.run(create, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
        port = free_port()
        bearers = {"jwt": jwt.encode(claims, secret, "HS256"), "key": key.strip()}
        with server(folder, environment, port) as pid:
            found = run(lambda: measure(port, bearers, given, pid))
    if given.output == "json":
        print(json.dumps(found))
    else:
        print("\n".join(f"{name:28} {value:>12,}" for name, value in found.items()))


if __name__ == "__main__":
    main()
