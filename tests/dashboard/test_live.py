"""What changes is shown without a reload, by one stream for all tabs, and nothing moves under the pointer."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.dashboard.browser import Browsing, settled
from tests.dashboard.conftest import Stage, enqueue

Open = Callable[..., Any]


def test_what_changes_is_shown(fresh_page: Open, fresh_stage: Stage) -> None:
    found = fresh_page("/jobs?q=kind:nightly")
    enqueue(fresh_stage, "nightly", day="a new one")
    expect(found.get_by_text("a new one")).to_be_visible()


def test_rows_do_not_move_under_the_pointer(fresh_page: Open, fresh_stage: Stage) -> None:
    found = fresh_page("/jobs?q=kind:nightly")
    rows = found.locator("tbody tr")
    before = rows.first.get_by_role("link").first.get_attribute("href")
    rows.nth(2).hover()
    enqueue(fresh_stage, "nightly", day="a new one")
    fresh = found.get_by_role("button", name="1 change of the list – show")
    expect(fresh).to_be_visible()
    assert rows.first.get_by_role("link").first.get_attribute("href") == before
    fresh.click()
    expect(rows.first).to_contain_text("a new one")


def test_rows_do_not_move_while_some_are_chosen(fresh_page: Open, fresh_stage: Stage) -> None:
    found = fresh_page("/jobs?q=kind:nightly")
    rows = found.locator("tbody tr")
    rows.first.get_by_role("checkbox").check()
    found.mouse.move(0, 0)
    enqueue(fresh_stage, "nightly", day="a new one")
    expect(found.get_by_role("button", name="1 change of the list – show")).to_be_visible()
    expect(rows.first.get_by_role("checkbox")).to_be_checked()


def test_pausing_stops_what_moves(fresh_page: Open, fresh_stage: Stage) -> None:
    found = fresh_page("/jobs?q=kind:nightly")
    found.get_by_role("button", name="Pause live updates").click()
    expect(found.locator(".live")).to_contain_text("Paused")
    enqueue(fresh_stage, "nightly", day="a new one")
    other = fresh_page("/jobs?q=kind:nightly")
    expect(other.get_by_text("a new one")).to_be_visible()
    expect(found.get_by_text("a new one")).to_have_count(0)
    found.get_by_role("button", name="Resume live updates").click()
    expect(found.get_by_text("a new one")).to_be_visible()


def test_ten_tabs_hold_one_stream(browser: Any, fresh_stage: Stage) -> None:
    with Browsing(browser, fresh_stage.url, fresh_stage.keys) as browsing:
        first = browsing.open("/jobs?q=kind:nightly")
        context = first.context
        expect(first.locator(".live")).to_have_attribute("data-status", "live")
        streams: list[str] = []
        context.on("request", lambda request: streams.append(request.url) if "/events?" in request.url else None)
        tabs = [first]
        for _ in range(9):
            tab = context.new_page()
            browsing.watch(tab)
            tab.goto(f"{fresh_stage.url}/jobs/jobs?q=kind:nightly")
            settled(tab)
            tabs.append(tab)
        assert not streams, "the other nine hear it from the first"
        enqueue(fresh_stage, "nightly", day="told to all")
        for tab in tabs:
            expect(tab.get_by_text("told to all")).to_be_visible()
        first.close()
        expect(tabs[1].locator(".live")).to_have_attribute("data-status", "live")
        enqueue(fresh_stage, "nightly", day="after the first has gone")
        for tab in tabs[1:]:
            expect(tab.get_by_text("after the first has gone")).to_be_visible()
        assert len(streams) == 1, "one of them took over"


@pytest.mark.parametrize("missing", ["locks", "locks and SharedWorker"])
def test_without_what_plain_http_lacks(browser: Any, fresh_stage: Stage, missing: str) -> None:
    """Web Locks need HTTPS, and some browsers have no shared workers."""
    with Browsing(browser, fresh_stage.url, fresh_stage.keys) as browsing:
        page = browsing.open(None)
        page.add_init_script("Object.defineProperty(Navigator.prototype, 'locks', {value: undefined})")
        if "SharedWorker" in missing:
            page.add_init_script("delete globalThis.SharedWorker")
        page.goto(f"{fresh_stage.url}/jobs/jobs?q=kind:nightly")
        settled(page)
        expect(page.locator(".live")).to_have_attribute("data-status", "live")
        expect(page.locator(".live")).to_contain_text("every 3 s" if "SharedWorker" in missing else "Live")
        enqueue(fresh_stage, "nightly", day="a new one")
        expect(page.get_by_text("a new one")).to_be_visible()


def test_hidden_tabs_hold_nothing(browser: Any, fresh_stage: Stage) -> None:
    with Browsing(browser, fresh_stage.url, fresh_stage.keys) as browsing:
        page = browsing.open("/jobs?q=kind:nightly")
        expect(page.locator(".live")).to_have_attribute("data-status", "live")
        ended: list[str] = []
        page.on("requestfailed", lambda request: ended.append(request.url))
        show = """hidden => {
            Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
            document.dispatchEvent(new Event("visibilitychange"));
        }"""
        page.evaluate(show, True)
        enqueue(fresh_stage, "nightly", day="while nobody looked")
        expect(page.get_by_text("while nobody looked")).to_have_count(0)
        page.evaluate(show, False)
        expect(page.get_by_text("while nobody looked")).to_be_visible()
        assert any("/events?" in url for url in ended), "the stream was closed"


def test_a_server_that_went_away_is_told(browser: Any, fresh_stage: Stage) -> None:
    with Browsing(browser, fresh_stage.url, fresh_stage.keys) as browsing:
        page = browsing.open(None)
        with page.expect_response(re.compile("/assets/workers-")):  # read ahead, while nobody does anything
            page.goto(f"{fresh_stage.url}/jobs/queues")
        page.context.set_offline(True)
        page.get_by_role("link", name="Workers").click()
        expect(page.get_by_text("The server does not answer. What you see is as it was")).to_be_visible()
        page.context.set_offline(False)
        page.get_by_role("button", name="Try again").click()
        expect(page.locator("main table")).to_be_visible()
        expect(page.get_by_text("The server does not answer. What you see is as it was")).to_have_count(0)
        browsing.complaints.clear()  # the browser reports what it could not reach
