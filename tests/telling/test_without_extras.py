"""Without the extras: what is missing is named, with the command that installs it."""

import subprocess
import sys

_HIDE = """
import importlib.abc, importlib.util, sys
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden())
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name in {hidden!r} else find(name, *more)
"""

_WEBHOOK = """
import asyncio
from windlass import Windlass

async def main():
    app = Windlass("sqlite://:memory:", webhook_networks="127.0.0.0/8")
    @app.job(max_attempts=1)
    def crash(): raise ValueError
    async with app:
        await app.webhooks.add("http://127.0.0.1:9/hooks", events=["job.failed"])
        await crash.enqueue()
        await app.drain()
        for job in (await app.jobs.list(kind="windlass.webhook")).items:
            print(job.error.type, job.error.message)
asyncio.run(main())
"""

_DEV = """
import sys
from windlass.cli import main
sys.argv = ["windlass", "dev", "--port", "0"]
sys.stderr = sys.stdout
try:
    main()
except SystemExit as end:
    print(end.code)
"""

_CATALOGUE = """
from windlass import SettingsError, Windlass, catalogue
try:
    catalogue.install(Windlass("sqlite://:memory:"), families=["mail"])
except SettingsError as error:
    print(error)
"""


def _run(hidden: set[str], code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _HIDE.format(hidden=hidden) + code], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_delivery_names_the_extra_that_its_worker_lacks() -> None:
    told = _run({"httpx2"}, _WEBHOOK)
    assert told.startswith("SettingsError ") and "pip install 'windlass[webhooks]'" in told


def test_the_catalogue_names_the_extra_of_the_kinds_that_were_asked_for() -> None:
    assert "pip install 'windlass[mail]'" in _run({"pydantic_settings"}, _CATALOGUE)


def test_dev_names_the_one_extra_that_has_all_it_needs() -> None:
    told = _run({"fastapi", "watchfiles"}, _DEV)
    assert "pip install 'windlass[dev]'" in told
    assert told.endswith("\n2\n")
