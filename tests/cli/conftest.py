"""A shell in an empty folder, and one whose store holds jobs in several states. On a file, unless a test names an engine."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import Shell
from tests.store.places import place_for

STOCK = """
import asyncio
from shop import add, app, greet, send

async def main():
    async with app:
        for n in range(3):
            await add.options(tags=[f"n{n}"], user="ann").enqueue(n)
        await send.enqueue("nobody")
        await greet.options(delay="1h").enqueue("late")
        await app.drain()
        await greet.enqueue("x")
        await greet.enqueue("y")

asyncio.run(main())
"""


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> str:
    return getattr(request, "param", "sqlite-file")


@pytest.fixture
def shell(tmp_path: Path, engine: str) -> Iterator[Shell]:
    if engine == "sqlite-file":
        yield Shell(tmp_path)
        return
    with place_for(engine) as place:
        yield Shell(tmp_path, place.url, place.namespace)


def stock(shell: Shell) -> None:
    subprocess.run([sys.executable, "-c", STOCK], cwd=shell.folder, env=shell.environment, check=True, timeout=60)


@pytest.fixture(scope="session")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with three completed jobs, one dead letter, one delayed, two waiting."""
    shell = Shell(tmp_path_factory.mktemp("stocked"))
    stock(shell)
    return shell.folder


@pytest.fixture
def shop(stocked: Path, shell: Shell, engine: str) -> Shell:
    """A shell on such a store of its own."""
    if engine == "sqlite-file":
        for file in stocked.glob("shop.db*"):
            shutil.copy(file, shell.folder)
    else:
        stock(shell)
    return shell
