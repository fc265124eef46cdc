"""The engines that crash tests run on (`WINDLASS_TEST_ENGINES`; they must cross processes) and their size."""

import os
from collections.abc import Iterator

import pytest

from tests.store.places import place_for
from windlass.app import Windlass

ENGINES = [
    name for name in os.environ.get("WINDLASS_TEST_ENGINES", "").split(",") if name and name != "sqlite-memory"
] or ["sqlite-file"]


@pytest.fixture(params=ENGINES)
def app(request: pytest.FixtureRequest) -> Iterator[Windlass]:
    """An app on a store of its own that other processes reach."""
    with place_for(request.param) as place:
        yield Windlass(place.url, namespace=place.namespace)


@pytest.fixture
def scale() -> float:
    """Sizes are multiplied by it: 1 in `make test`, 10 in `make soak`."""
    return float(os.environ.get("WINDLASS_TEST_SCALE", "1"))
