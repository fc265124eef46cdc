"""An app on each place that SQLite offers: memory, and a file."""

from pathlib import Path

import pytest

from windlass import Windlass


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "sqlite://:memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/jobs.db"


@pytest.fixture
def app(url: str) -> Windlass:
    return Windlass(url)
