"""One server on a seeded store per process of tests, one browser per module; `page(path, theme, width)` is signed in."""

import asyncio
import atexit
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.dashboard.browser import Browsing, open_browser
from tests.dashboard.stage import seed
from windlass.dashboard.serving import STATIC

ROOT = Path(__file__).parent.parent.parent


class Stage(NamedTuple):
    """A served, seeded store: `url` of the dashboard, keys by role, ids of jobs by what they show."""

    url: str
    keys: dict[str, str]
    ids: dict[str, str]


def _need(found: bool, what: str) -> None:
    if found:
        return
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@cache
def _filled() -> tuple[Path, dict[str, str]]:
    """A store that was filled once, and what is in it; each stage has a copy."""
    folder = Path(tempfile.mkdtemp(prefix="windlass-stage-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with ThreadPoolExecutor(1) as thread:  # this one may have Playwright's loop
        found = thread.submit(asyncio.run, seed(f"sqlite:///{folder / 'stage.db'}")).result()
    assert [path.name for path in folder.iterdir()] == ["stage.db"], "a closed store is one file"
    return folder / "stage.db", found


def needs_build() -> None:
    """Skip, or on CI fail, where there is no built client."""
    _need((STATIC / "index.html").is_file(), "the dashboard is not built; build it by: make dashboard")


@contextmanager
def served(
    folder: Path, *words: str, command: Sequence[str] = (), ready: str = "/readyz", **settings: str
) -> Iterator[Stage]:
    """`windlass serve` on a store of its own, which has been filled; or `command`, which gets the port."""
    store = f"sqlite:///{folder / 'stage.db'}"
    filled, found = _filled()
    shutil.copyfile(filled, folder / "stage.db")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "WINDLASS_STAGE_URL": store,
        "WINDLASS_MAINTENANCE": "off",
        "WINDLASS_GRACE": "100ms",
        **settings,
    }
    own = (sys.executable, "-m", "windlass", "serve", "-A", "tests.dashboard.stage:app", "--port")
    with (folder / "log").open("w") as log, subprocess.Popen(
        [*(command or own), str(port), *words], cwd=ROOT, env=environment, stderr=log, stdout=log
    ) as process:  # fmt: skip
        try:
            base = f"http://127.0.0.1:{port}"
            _answers(f"{base}{ready}", process, folder / "log")
            roles = ("viewer", "user", "operator", "admin")
            keys = {role: found[role] for role in roles}
            yield Stage(base, keys, {name: id for name, id in found.items() if name not in roles})
        finally:
            process.terminate()
            process.wait(30)


def _answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass  # not listening yet
        if process.poll() is not None or time.monotonic() > end:
            raise AssertionError(f"the server did not come up:\n{log.read_text()[-2_000:]}")
        time.sleep(0.01)


def enqueue(stage: Stage, kind: str, queue: str | None = None, **args: Any) -> None:
    """A job by the API."""
    body = {"kind": kind, "args": args, **({"queue": queue} if queue else {})}
    headers = {"Authorization": f"Bearer {stage.keys['admin']}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{stage.url}/api/v1/jobs", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status in (200, 202)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, one per module and process of tests. Not longer: Playwright keeps a loop running in this thread, beside which
    `async def` tests cannot run."""
    command = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    _need(
        command is not None, "chromium is not here; on Debian: sudo apt-get install -y --no-install-recommends chromium"
    )
    assert command is not None
    with open_browser(command) as found:
        yield found


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A store with jobs in every state, a worker, and the API with the dashboard in front of it. Tests share it: whoever
    changes something uses jobs of its own, or `fresh_stage`."""
    needs_build()
    with served(tmp_path_factory.mktemp("stage"), "--worker") as found:
        yield found


@pytest.fixture
def fresh_stage(tmp_path: Path) -> Iterator[Stage]:
    """The same for one test alone."""
    needs_build()
    with served(tmp_path, "--worker") as found:
        yield found


@pytest.fixture
def page(browser: Any, stage: Stage) -> Iterator[Callable[..., Any]]:
    """Opens pages of the shared stage: `page("/queues", theme="dark", width=390, role="viewer")`. At the end no page may
    have written an error to the console or broken the policy."""
    with Browsing(browser, stage.url, stage.keys) as browsing:
        yield browsing.open


@pytest.fixture
def fresh_page(browser: Any, fresh_stage: Stage) -> Iterator[Callable[..., Any]]:
    """The same on `fresh_stage`."""
    with Browsing(browser, fresh_stage.url, fresh_stage.keys) as browsing:
        yield browsing.open
