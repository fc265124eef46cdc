"""A store of each test's own, on every engine."""

from collections.abc import Iterator

import pytest

from tests.store.kit import Place
from tests.store.places import chosen_engines, place_for


@pytest.fixture(params=chosen_engines(processes=True))
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with place_for(request.param) as place:
        yield place


@pytest.fixture(params=chosen_engines(processes=True))
def shared_place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """One that several apps can open."""
    with place_for(request.param) as place:
        yield place
