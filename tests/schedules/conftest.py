"""An app on each engine, and one whose store other processes reach."""

from collections.abc import Iterator

import pytest

from tests.store.kit import Place
from tests.store.places import chosen_engines, place_for
from windlass.app import Windlass


@pytest.fixture(params=chosen_engines(processes=True))
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A store of this test's own."""
    with place_for(request.param) as place:
        yield place


@pytest.fixture
def app(place: Place) -> Windlass:
    return Windlass(place.url, namespace=place.namespace)


@pytest.fixture(params=chosen_engines(processes=True))
def shared(request: pytest.FixtureRequest) -> Iterator[Windlass]:
    """An app whose store crosses processes."""
    with place_for(request.param) as place:
        yield Windlass(place.url, namespace=place.namespace)
