"""A store of the test's own, an app that may call this machine, and a receiver."""

from collections.abc import Iterator

import pytest

from tests.store.kit import Place
from tests.store.places import place_for
from tests.telling.conftest import make
from tests.telling.receiver import Receiver
from windlass import Windlass


@pytest.fixture
def memory() -> Iterator[Place]:
    """A store of this test's own, where the engine makes no difference."""
    with place_for("sqlite-memory") as place:
        yield place


@pytest.fixture
def app() -> Windlass:
    """An app whose webhooks and alerts may go to this machine."""
    return make("sqlite://:memory:", "windlass")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An HTTP server that keeps what it gets."""
    with Receiver() as found:
        yield found
