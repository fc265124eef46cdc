"""The engines that are crashed: all of them, or those that `WINDLASS_TEST_ENGINES` names (they must cross processes)."""

import os

import pytest

from tests.crash.places import ENGINES

_ASKED = [name for name in os.environ.get("WINDLASS_TEST_ENGINES", "").split(",") if name]
CHOSEN = [engine for engine in ENGINES if not _ASKED or engine.removesuffix("-everysec") in _ASKED]


@pytest.fixture(params=CHOSEN)
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def scale() -> float:
    """Lengths are multiplied by it: 1 in `make test`, 10 in `make soak`."""
    return float(os.environ.get("WINDLASS_TEST_SCALE", "1"))


@pytest.fixture
def seed() -> int:
    return int(os.environ.get("WINDLASS_TEST_SEED", "1"))
