"""Runs `async def` tests, each in a fresh event loop, and says which test servers there are."""

import asyncio
import inspect
import os
from collections import Counter

import pytest

from tests.servers import versions

# The full hour must not slip a job of the house into what a test counts; tests of the maintenance turn it on.
os.environ.setdefault("WINDLASS_MAINTENANCE", "off")


def pytest_report_header() -> list[str]:
    return versions()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Of tests with one name, pytest-xdist would run one and say nothing of the others."""
    twice = [name for name, times in Counter(item.nodeid for item in session.items).items() if times > 1]
    if twice:
        raise pytest.UsageError(f"several tests have the same name: {', '.join(twice)}")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in wanted}
    asyncio.run(pyfuncitem.obj(**arguments))
    return True
