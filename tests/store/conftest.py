"""Every test of this folder runs on every engine, at a fresh place, and is followed by an audit. Tests name no engine."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tests.store.kit import Clock, Place
from tests.store.places import chosen_engines, make_future, place_for, transaction_of
from windlass.store import Store

MakeStore = Callable[[], Awaitable[Store]]
Join = Callable[[], AbstractAsyncContextManager[Any]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "place" in metafunc.fixturenames:
        metafunc.parametrize("place", chosen_engines(), indirect=True, scope="function")


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A store of this test's own: a fresh file, or a namespace on the session's server."""
    with place_for(request.param) as place:
        yield place


@pytest.fixture
def store(place: Place) -> Store:
    """The store, opened before the test begins and audited after it."""
    return place.first


@pytest.fixture
def clock(place: Place) -> Clock:
    """The store's clock, standing at `kit.T0` when the test begins."""
    place.clock = Clock(place.first)
    return place.clock


@pytest.fixture
def make_store(place: Place) -> MakeStore:
    """`await make_store()`: another opened handle on the same store."""
    return place.another


@pytest.fixture
def age(request: pytest.FixtureRequest, place: Place) -> Callable[[], Awaitable[bool]]:
    """`await age()`: the store looks as if a much newer Windlass had changed it; False if that cannot be."""
    engine = request.node.callspec.params["place"]
    return lambda: make_future(engine, place)


@pytest.fixture
def join(request: pytest.FixtureRequest, place: Place) -> Join:
    """`async with join() as connection`: a user's transaction; None on engines that have none to join."""
    engine = request.node.callspec.params["place"]
    return lambda: transaction_of(engine, place)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    place = pyfuncitem.funcargs.get("place")
    if not isinstance(place, Place) or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(_run(place, pyfuncitem.obj, {name: pyfuncitem.funcargs[name] for name in wanted}))
    return True


async def _run(place: Place, test: Callable[..., Awaitable[Any]], arguments: dict[str, Any]) -> None:
    try:
        await place.open()
        await test(**arguments)
        assert await place.audit() == []
    finally:
        await place.close()
