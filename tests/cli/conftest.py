"""A shell in an empty folder, and one whose store holds jobs in several states."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.terminal import Shell

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
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture(scope="session")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with three completed jobs, one dead letter, one delayed, two waiting."""
    shell = Shell(tmp_path_factory.mktemp("stocked"))
    subprocess.run([sys.executable, "-c", STOCK], cwd=shell.folder, env=shell.environment, check=True, timeout=60)
    return shell.folder


@pytest.fixture
def shop(stocked: Path, shell: Shell) -> Shell:
    """A shell on a copy of that store."""
    for file in stocked.glob("shop.db*"):
        shutil.copy(file, shell.folder)
    return shell
