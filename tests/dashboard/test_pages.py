"""Every page, in both themes, on a phone and on a desk: it loads, fits, is accessible, and complains about nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.dashboard.browser import assert_accessible, assert_fits, settled
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


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_every_page(page: Callable[..., Any], stage: Stage, path: str, theme: str, width: int) -> None:
    found = page(path.format(**stage.ids), theme=theme, width=width)
    settled(found)
    assert_accessible(found)
    assert_fits(found)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_sign_in_page(page: Callable[..., Any], theme: str) -> None:
    found = page("/", theme=theme, width=390, role=None)
    assert_accessible(found)
    assert_fits(found)
