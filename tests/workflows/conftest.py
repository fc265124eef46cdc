"""An app for every engine that worker tests run on."""

from collections.abc import Iterator

import pytest

from tests.store.places import chosen_engines, place_for
from windlass.app import Windlass


@pytest.fixture(params=chosen_engines(processes=True))
def app(request: pytest.FixtureRequest) -> Iterator[Windlass]:
    """An app on a store of its own."""
    with place_for(request.param) as place:
        yield Windlass(place.url, namespace=place.namespace)
