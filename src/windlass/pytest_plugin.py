"""The pytest fixture `windlass_box`: a sandbox for the app that the fixture `windlass_app` of your tests returns."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from windlass.app import Windlass
    from windlass.testing import Box


@pytest.fixture
def windlass_app() -> "Windlass":
    """Override it to return your app."""
    pytest.fail("windlass_box needs a fixture windlass_app that returns your Windlass app", pytrace=False)


@pytest.fixture
def windlass_box(windlass_app: "Windlass") -> "Iterator[Box]":
    """The app in a sandbox during one test, sync or async, whichever event loop that test runs in."""
    from windlass.testing import sandbox  # only for tests that ask

    with asyncio.Runner() as runner:
        opened = sandbox(windlass_app)
        box = runner.run(_entered(opened))
        try:
            yield box
        finally:
            runner.run(_left(opened))


async def _entered(opened: "contextlib.AbstractAsyncContextManager[Box]") -> "Box":
    return await opened.__aenter__()


async def _left(opened: "contextlib.AbstractAsyncContextManager[Box]") -> None:
    await opened.__aexit__(None, None, None)
