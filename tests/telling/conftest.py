"""An app that may call this machine, on a file and a server, and a receiver."""

from collections.abc import Iterator

import pytest

from tests.store.places import a_file_and_a_server, place_for
from tests.telling.receiver import Receiver
from windlass import Windlass


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "app" in metafunc.fixturenames:
        metafunc.parametrize("app", a_file_and_a_server(metafunc.module.__name__), indirect=True)


@pytest.fixture
def app(request: pytest.FixtureRequest) -> Iterator[Windlass]:
    """An app on a store of its own."""
    with place_for(request.param) as place:
        yield make(place.url, place.namespace)


@pytest.fixture
def memory_app() -> Windlass:
    """The same where the engine makes no difference."""
    return make("sqlite://:memory:", "windlass")


def make(url: str, namespace: str) -> Windlass:
    app = Windlass(url, namespace=namespace, webhook_networks="127.0.0.0/8", maintenance=False)

    @app.job
    def add(a: int, b: int) -> int:
        return a + b

    @app.job(queue="mail", max_attempts=1)
    def fail(why: str = "no") -> None:
        raise ValueError(why)

    return app


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An HTTP server that keeps what it gets."""
    with Receiver() as found:
        yield found
