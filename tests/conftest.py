"""Runs `async def` tests, each in a fresh event loop, and says which test servers there are."""

import asyncio
import inspect

import pytest

from tests.servers import versions


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
