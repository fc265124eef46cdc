"""The engines that worker tests run on: SQLite in memory and in a file, or those that `WINDLASS_TEST_ENGINES` names."""

import os
from collections.abc import Iterator

import pytest

from tests.store.places import place_for
from windlass.app import Windlass

ENGINES = [name for name in os.environ.get("WINDLASS_TEST_ENGINES", "").split(",") if name] or [
    "sqlite-memory",
    "sqlite-file",
]


@pytest.fixture(params=ENGINES)
def app(request: pytest.FixtureRequest) -> Iterator[Windlass]:
    """An app on a store of its own."""
    with place_for(request.param) as place:
        yield Windlass(place.url, namespace=place.namespace)
