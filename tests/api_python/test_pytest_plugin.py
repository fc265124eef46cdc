"""The fixture `windlass_box`, in a pytest run of its own."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import asyncio
import pytest
from windlass import Windlass

app = Windlass("redis://nobody.invalid:1")

@app.job
async def echo(n: int) -> int:
    return n

@pytest.fixture
def windlass_app():
    return app

def test_async(windlass_box):
    async def main():
        ref = await echo.options(delay="1h").enqueue(5)
        windlass_box.assert_enqueued(echo, n=5, count=1)
        assert await windlass_box.advance("1h") == 1
        assert await ref.result(timeout=5) == 5
    asyncio.run(main())

def test_sync(windlass_box):
    app.sync.enqueue(echo, 6)
    windlass_box.assert_enqueued(echo, n=6, count=1)
    assert app.sync.run(windlass_box.drain()) == 1
    app.sync.close()

def test_afterwards():
    assert app.url.startswith("redis://")
"""


def test_the_fixture(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(PROGRAM)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "windlass.pytest_plugin",
        "-W",
        "error",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert "3 passed" in done.stdout, done.stdout + done.stderr
