"""Stores for the API's tests: conventions and permissions on one engine, what reads and writes on a file and a server."""

from collections.abc import Iterator

import pytest

from tests.store.kit import Place
from tests.store.places import a_file_and_a_server, place_for


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "place" in metafunc.fixturenames:
        metafunc.parametrize("place", a_file_and_a_server(metafunc.module.__name__), indirect=True)


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A store of this test's own."""
    with place_for(request.param) as place:
        yield place


@pytest.fixture
def memory() -> Iterator[Place]:
    """A store of this test's own, where the engine makes no difference."""
    with place_for("sqlite-memory") as place:
        yield place
