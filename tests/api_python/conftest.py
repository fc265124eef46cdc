"""An app on each engine."""

from collections.abc import Iterator

import pytest

from tests.store.kit import Place
from tests.store.places import chosen_engines, place_for
from windlass import Windlass


@pytest.fixture(params=chosen_engines())
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A store of this test's own."""
    with place_for(request.param) as place:
        yield place


@pytest.fixture(params=chosen_engines(processes=True))
def shared(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A store of this test's own that other apps and processes reach."""
    with place_for(request.param) as place:
        yield place


@pytest.fixture
def app(place: Place) -> Windlass:
    return Windlass(place.url, namespace=place.namespace)
