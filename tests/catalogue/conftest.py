"""An app for every engine that tests of the catalogue run on, and settings that ask no environment."""

from collections.abc import Iterator

import pytest

from tests.store.places import chosen_engines, place_for
from windlass.app import Windlass


@pytest.fixture(params=chosen_engines())
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
