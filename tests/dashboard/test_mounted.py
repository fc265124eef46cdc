"""The dashboard inside a host application: below its path, with its session, by the same build; and where nothing may change."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.dashboard.browser import Browsing, assert_accessible, settled
from tests.dashboard.conftest import Stage, needs_build, served


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Stage]:
    needs_build()
    command = [sys.executable, "-m", "uvicorn", "tests.dashboard.mounted:host", "--log-level", "warning", "--port"]
    with served(tmp_path, command=command, ready="/tools/queue/readyz") as found:
        yield found


def test_below_a_path_of_the_host(browser: Any, host: Stage) -> None:
    with Browsing(browser, host.url, host.keys) as browsing:
        page = browsing.open(None, role=None)
        page.goto(f"{host.url}/tools/queue/")
        settled(page)
        assert page.url == f"{host.url}/tools/queue/jobs"
        page.get_by_role("link", name="All queues").click()
        page.get_by_role("link", name="billing").click()
        expect(page.locator("main h1")).to_have_text("billing")
        assert page.url == f"{host.url}/tools/queue/jobs/queues/billing"
        page.reload()  # a deep link
        settled(page)
        expect(page.locator("main h1")).to_have_text("billing")
        page.get_by_role("button", name="Pause", exact=True).click()
        expect(page.get_by_role("button", name="Resume", exact=True)).to_be_visible()
        page.get_by_role("link", name="Jobs", exact=True).click()
        expect(page.locator(".live")).to_have_attribute("data-status", "live")
        expect(page.get_by_text("editor · operator")).to_be_visible()
        expect(page.get_by_role("button", name="Sign out")).to_have_count(0)
        assert_accessible(page)


def test_a_read_only_api(browser: Any, tmp_path: Path) -> None:
    needs_build()
    with served(tmp_path, WINDLASS_API_READ_ONLY="on") as stage, Browsing(browser, stage.url, stage.keys) as browsing:
        page = browsing.open(f"/jobs/{stage.ids['planted']}", role="admin")
        expect(page.get_by_text("read-only")).to_be_visible()
        expect(page.get_by_text("INSUFFICIENT-FUNDS").first).to_be_visible()
        for name in ("Retry", "More acts", "Lock: look, but change nothing"):
            expect(page.get_by_role("button", name=name)).to_have_count(0)
        page = browsing.open("/queues", role="admin")
        expect(page.get_by_role("link", name="billing")).to_be_visible()
        expect(page.get_by_role("button", name="Pause", exact=True)).to_have_count(0)
