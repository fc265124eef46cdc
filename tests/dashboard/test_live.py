"""What changes is shown without a reload, by one stream for all tabs, and nothing moves under the pointer."""

import json
import urllib.request
from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

from tests.dashboard.browser import Browsing, settled
from tests.dashboard.conftest import Stage

Open = Callable[..., Any]


def enqueue(stage: Stage, kind: str, **args: Any) -> None:
    """A job by the API."""
    request = urllib.request.Request(
        f"{stage.url}/api/v1/jobs",
        data=json.dumps({"kind": kind, "args": args}).encode(),
        headers={"Authorization": f"Bearer {stage.keys['admin']}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status in (200, 202)


def test_what_changes_is_shown(fresh_page: Open, fresh_stage: Stage) -> None:
    found = fresh_page("/jobs?q=kind:nightly")
    enqueue(fresh_stage, "nightly", day="a new one")
    expect(found.get_by_text("a new one")).to_be_visible()


def test_rows_do_not_move_under_the_pointer(fresh_page: Open, fresh_stage: Stage) -> None:
    found = fresh_page("/jobs?q=kind:nightly")
    rows = found.locator("tbody tr")
    before = rows.first.inner_text()
    rows.nth(2).hover()
    enqueue(fresh_stage, "nightly", day="a new one")
    fresh = found.get_by_role("button", name="1 change of the list – show")
    expect(fresh).to_be_visible()
    assert rows.first.inner_text() == before
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
