"""A shell in an empty folder, and one whose store holds jobs in several states."""

from pathlib import Path

import pytest

from tests.cli.terminal import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def shop(shell: Shell) -> Shell:
    """Three completed jobs, one dead letter, one delayed, two waiting."""
    for number in range(3):
        shell.ok("enqueue", "-A", "shop", "add", f'{{"a": {number}}}', "--tag", f"n{number}", "--user", "ann")
    shell.ok("enqueue", "-A", "shop", "send", '{"to": "nobody"}')
    shell.ok("enqueue", "-A", "shop", "greet", '{"name": "late"}', "--delay", "1h")
    shell.ok("worker", "-A", "shop", "--until-idle")
    for name in ("x", "y"):
        shell.ok("enqueue", "-A", "shop", "greet", f'{{"name": "{name}"}}')
    return shell
