"""An app for the engines that tests of the catalogue run on, and settings that ask no environment."""

from collections.abc import Iterator

import pytest

from tests.store.places import a_file_and_a_server, place_for
from windlass.app import Windlass


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "app" in metafunc.fixturenames:
        metafunc.parametrize("app", a_file_and_a_server(metafunc.module.__name__), indirect=True)


@pytest.fixture
def app(request: pytest.FixtureRequest) -> Iterator[Windlass]:
    """An app on a store of its own."""
    with place_for(request.param) as place:
        yield Windlass(place.url, namespace=place.namespace)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of this machine has a say."""
    import os

    for name in list(os.environ):
        if name.startswith(("SENDGRID_", "EMAIL_", "SMTP_", "WINDLASS_EMAIL", "WINDLASS_SMTP", "OPENAI_", "AWS_")):
            monkeypatch.delenv(name)
