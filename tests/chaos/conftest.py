"""An app for every engine that crash tests run on, which are those that several processes reach; and their size."""

import os
from collections.abc import Iterator

import pytest

from tests.store.places import chosen_engines, place_for
from windlass.app import Windlass


@pytest.fixture(params=chosen_engines(processes=True))
def app(request: pytest.FixtureRequest) -> Iterator[Windlass]:
    """An app on a store of its own that other processes reach."""
    with place_for(request.param) as place:
        yield Windlass(place.url, namespace=place.namespace)


@pytest.fixture
def scale() -> float:
    """Sizes are multiplied by it: 1 in `make test`, 10 in `make soak`."""
    return float(os.environ.get("WINDLASS_TEST_SCALE", "1"))
