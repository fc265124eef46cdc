"""What the first page takes: little, and all of it from here."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from tests.dashboard.conftest import Stage

MOST_FIRST = 90_000
"""Bytes, packed, of all that the first page takes."""


def test_the_first_load_is_small_and_ours(page: Callable[..., Any], stage: Stage) -> None:
    found = page(None)
    sizes: dict[str, int] = {}

    def keep(response: Any) -> None:
        assert urlsplit(response.url).netloc == urlsplit(stage.url).netloc, response.url
        if "/jobs" in urlsplit(response.url).path and "/api/" not in response.url:
            sizes[response.url] = int(response.headers.get("content-length", 0))

    found.on("response", keep)
    found.goto(f"{stage.url}/jobs")
    found.locator("main h1").wait_for()
    found.locator(".uplot").first.wait_for()
    print({url.rsplit("/", 1)[-1]: size for url, size in sizes.items()}, sum(sizes.values()))
    assert sum(sizes.values()) <= MOST_FIRST
