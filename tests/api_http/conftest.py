"""Stores for the API's tests: conventions and permissions on one engine, what reads and writes on each."""

from collections.abc import Iterator

import pytest

from tests.store.kit import Place
from tests.store.places import chosen_engines, place_for


@pytest.fixture(params=chosen_engines())
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A store of this test's own, on each engine."""
    with place_for(request.param) as place:
        yield place


@pytest.fixture
def memory() -> Iterator[Place]:
    """A store of this test's own, where the engine makes no difference."""
    with place_for("sqlite-memory") as place:
        yield place
