"""Every page, in both themes, on a phone and on a desk: it loads, fits, is accessible, and complains about nothing."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from playwright.sync_api import BrowserContext

from tests.dashboard.browser import Browsing, assert_accessible, assert_fits, settled
from tests.dashboard.conftest import Stage

PAGES = (
    "/",
    "/jobs",
    "/jobs?q=state:failed",
    "/jobs?q=nothing-matches-this",
    "/jobs/{planted}",
    "/jobs/{planted}?tab=attempts",
    "/jobs/{waiting}",
    "/jobs/{approve}?tab=steps",
    "/queues",
    "/queues/billing",
    "/workers",
    "/alerts",
    "/alerts?tab=rules",
    "/alerts?tab=channels",
    "/alerts?tab=history",
    "/webhooks",
    "/schedules",
    "/schedules/night%2Fclean",
    "/workflows",
    "/workflows?only=batches",
    "/workflows/{workflow}",
    "/workflows/{workflow}?tab=list",
    "/workflows/{batch}?tab=batches",
    "/metrics",
    "/metrics?last=1h&by=kinds",
    "/metrics?by=users",
    "/limits",
    "/limits?tab=breakers",
    "/settings",
    "/errors",
    "/errors?mark=resolved",
    "/audit",
    "/audit?action=put-*",
)
"""Paths; `{name}` is an id or name that the stage has (`stage.ids`)."""


BEGINS: dict[int, Literal["light", "dark"]] = {390: "light", 1440: "dark"}
"""By width: the theme in which a page is loaded, before it is looked at in the other one too."""


@pytest.fixture(scope="module")
def readers(browser: Any, stage: Stage) -> Iterator[tuple[Browsing, dict[int, BrowserContext]]]:
    """One person at each device who looks at all the pages: what loading them for the first time takes is tested elsewhere."""
    with Browsing(browser, stage.url, stage.keys) as browsing:
        yield browsing, {width: browsing.context(theme, width, "operator") for width, theme in BEGINS.items()}


@pytest.mark.parametrize("width", BEGINS)
@pytest.mark.parametrize("path", PAGES)
def test_every_page(readers: tuple[Browsing, dict[int, BrowserContext]], stage: Stage, path: str, width: int) -> None:
    browsing, contexts = readers
    found = browsing.open_in(contexts[width], path.format(**stage.ids))
    try:
        for theme in sorted(("light", "dark"), key=lambda theme: theme != BEGINS[width]):
            found.emulate_media(color_scheme=theme)
            settled(found)
            assert_accessible(found, colours=theme != BEGINS[width])
            assert_fits(found)
    finally:
        found.close()
    browsing.expect_silence()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_sign_in_page(page: Callable[..., Any], theme: str) -> None:
    found = page("/", theme=theme, width=390, role=None)
    assert_accessible(found)
    assert_fits(found)
