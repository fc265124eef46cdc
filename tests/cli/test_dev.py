"""`windlass dev`: it serves, it works, and a change of the code starts it anew."""

import json
import signal
import socket
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import Shell


def wait(fact: Callable[[], Any], what: str, seconds: float = 40.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := fact():
                return found
        except (OSError, ValueError):
            pass
        time.sleep(0.05)
    raise AssertionError(f"still waiting for: {what}")


def ask(port: int, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data, {"content-type": "application/json"} if data else {}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.loads(answer.read())


@pytest.mark.slow
def test_a_change_starts_it_anew(shell: Shell) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with shell.start("dev", "-A", "shop:app", "--port", str(port)) as process:
        try:
            wait(lambda: ask(port, "/readyz"), "the server")
            id = ask(port, "/api/v1/jobs", {"kind": "add", "args": {"a": 1}})["id"]
            wait(lambda: ask(port, f"/api/v1/jobs/{id}")["state"] == "completed", "the job's end")
            shop = Path(shell.folder) / "shop.py"
            shop.write_text(shop.read_text() + '\n\n@app.job\ndef newcomer() -> str:\n    return "here"\n')
            wait(lambda: "newcomer" in str(ask(port, "/api/v1/kinds")), "the new kind")
            id = ask(port, "/api/v1/jobs", {"kind": "newcomer"})["id"]
            wait(lambda: ask(port, f"/api/v1/jobs/{id}").get("result") == "here", "the new job's result")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
        assert process.stderr is not None
        told = process.stderr.read()
    assert f"dashboard: http://127.0.0.1:{port}/jobs" in told and "changed: shop.py" in told
    assert "Traceback" not in told
    with pytest.raises(OSError):
        ask(port, "/readyz")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("watching", [[], ["--no-reload"]], ids=["watching", "not watching"])
def test_it_takes_its_server_along_when_it_ends(shell: Shell, number: signal.Signals, watching: list[str]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with shell.start("dev", "-A", "shop:app", "--port", str(port), *watching) as process:
        try:
            wait(lambda: ask(port, "/readyz"), "the server")
        finally:
            process.send_signal(number)
            process.wait(30)
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    with pytest.raises(OSError):
        ask(port, "/readyz")


def test_a_wrong_app_is_said_once(shell: Shell) -> None:
    answer = shell.run("dev", "-A", "shop:nothing")
    assert answer.code == 2 and "nothing" in answer.err


@pytest.mark.slow
def test_the_showcase_is_busy(shell: Shell) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with shell.start("dev", "--showcase", "--port", str(port)) as process:
        try:
            wait(lambda: ask(port, "/readyz"), "the server")
            wait(
                lambda: ask(port, "/api/v1/jobs?q=state:completed%20kind:send_email")["items"], "letters that were sent"
            )
            refused = ask(port, "/api/v1/jobs?q=state:failed%20queue:traffic")["items"]
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
    assert refused == []
    assert not list(Path(shell.folder).glob("*.db"))


async def test_what_the_head_office_wants_is_possible() -> None:
    from windlass import testing
    from windlass.showcase import app, customers, head_office

    async with testing.sandbox(app) as box:
        await head_office.enqueue()
        await customers.enqueue()
        while not (await box.app.jobs.list(queue="traffic", state="completed")).items:
            await box.drain()
        failed = await box.app.jobs.list(queue="traffic", state="failed")
        assert failed.items == []


@pytest.mark.slow
def test_it_says_that_no_app_is_loaded(shell: Shell) -> None:
    with shell.start("dev", "--port", "0", "--url", "sqlite:///other.db", "--no-reload") as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.wait(30)
    assert "no app is loaded" in first and "-A module:app" in first
