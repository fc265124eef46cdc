"""What importing costs: `import windlass` loads nothing heavy, an app loads no engine, no worker, no terminal."""

import subprocess
import sys

import pytest

import windlass

HEAVY = {"psutil", "rich", "typer", "cronsim", "pydantic", "uvloop", "redis", "asyncpg"}


def loaded(code: str) -> set[str]:
    program = f"{code}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


def test_importing_the_package_is_next_to_nothing() -> None:
    modules = loaded("import windlass")
    assert not modules & {*HEAVY, "asyncio", "msgspec", "apsw"}


def test_making_an_app_loads_no_engine_and_no_worker() -> None:
    modules = loaded("from windlass import *; Windlass('sqlite://:memory:')")
    assert not modules & {*HEAVY, "apsw", "windlass.worker", "windlass.store.sqlite"}


def test_unknown_names() -> None:
    with pytest.raises(AttributeError, match="'chian'"):
        windlass.chian  # type: ignore[attr-defined]
    assert set(windlass.__all__) <= set(dir(windlass))
