"""Runs `async def` tests, each in a fresh event loop, and says which test servers there are."""

import asyncio
import inspect
import os

import pytest

from tests.servers import versions

# The full hour must not slip a job of the house into what a test counts; tests of the maintenance turn it on.
os.environ.setdefault("WINDLASS_MAINTENANCE", "off")


def pytest_report_header() -> list[str]:
    return versions()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in wanted}
    asyncio.run(pyfuncitem.obj(**arguments))
    return True
