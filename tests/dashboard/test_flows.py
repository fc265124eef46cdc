"""What people do there, done by a scripted person: sign in, find, inspect, retry, cancel, act on many and undo it."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.browser import Browsing, assert_accessible, settled
from tests.dashboard.conftest import Stage, enqueue
from tests.dashboard.stage import BIG, PLANTED

Open = Callable[..., Any]


def button(page: Page, name: str | re.Pattern[str]) -> Any:
    return page.get_by_role("button", name=name, exact=isinstance(name, str))


def row(page: Page, text: str | re.Pattern[str]) -> Any:
    return page.locator("main table.table tbody tr").filter(has_text=text)


def heading(page: Page) -> Any:
    return page.locator("main h1")


# signing in and out


def test_signing_in_and_out(browser: Any, stage: Stage) -> None:
    with Browsing(browser, stage.url, stage.keys) as browsing:
        page = browsing.open("/queues", role=None)
        expect(heading(page)).to_have_text("Sign in to Windlass")
        page.get_by_label("API key or token").fill("wl_wrong")
        button(page, "Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("not accepted")
        assert any("401" in each for each in browsing.complaints), "browsers report refused requests"
        browsing.complaints.clear()
        page.get_by_label("API key or token").fill(stage.keys["operator"])
        page.keyboard.press("Enter")
        expect(heading(page)).to_have_text("Queues")
        assert page.url == f"{stage.url}/jobs/queues", "the page that was asked for"
        (cookie,) = page.context.cookies()
        assert cookie["httpOnly"] and cookie["sameSite"] == "Strict"
        assert page.evaluate("document.cookie") == ""
        button(page, "Sign out").click()
        expect(heading(page)).to_have_text("Sign in to Windlass")
        page.reload()
        expect(heading(page)).to_have_text("Sign in to Windlass")


ROLES = {
    "viewer": ({"Overview", "Jobs", "Queues", "Workers"}, {"Audit"}),
    "user": ({"Overview", "Jobs"}, {"Queues", "Workers", "Metrics", "Audit"}),
    "operator": ({"Overview", "Jobs", "Queues", "Workers"}, set[str]()),
    "admin": ({"Overview", "Jobs", "Queues", "Workers"}, set[str]()),
}


@pytest.mark.parametrize("role", ROLES)
def test_roles_hide_what_is_not_allowed(page: Open, stage: Stage, role: str) -> None:
    found = page("/", role=role)
    links = {
        text.strip() for text in found.get_by_role("navigation", name="Pages").get_by_role("link").all_inner_texts()
    }
    links = {re.sub(r"\W*\d.*", "", text) for text in links}
    shown, hidden = ROLES[role]
    assert shown <= links and not hidden & links, links
    found = page(f"/jobs/{stage.ids['planted']}", role=role)
    may_change = role != "viewer"
    expect(button(found, "Retry")).to_have_count(1 if may_change else 0)
    found = page("/queues", role=role)
    if "Queues" in shown:
        expect(row(found, "billing")).to_be_visible()
        expect(button(found, "Pause").first).to_be_visible() if role in ("operator", "admin") else expect(
            button(found, "Pause")
        ).to_have_count(0)
    else:
        expect(heading(found)).to_have_text("Nothing here")


def test_users_see_their_own_jobs_only(page: Open) -> None:
    found = page("/jobs?q=kind:send_email", role="user")
    expect(row(found, "send_email").first).to_be_visible()
    expect(row(found, "customer3@example.com")).to_have_count(0)  # bob's


def test_one_can_lock_oneself_out_of_changes(page: Open, stage: Stage) -> None:
    found = page(f"/jobs/{stage.ids['planted']}")
    expect(button(found, "Retry")).to_be_visible()
    button(found, "Lock: look, but change nothing").click()
    expect(button(found, "Retry")).to_have_count(0)
    button(found, "Unlock changes in this browser").click()
    expect(button(found, "Retry")).to_be_visible()


# finding and looking


def test_a_failure_is_three_clicks_away_on_a_phone(page: Open) -> None:
    found = page("/", width=390)
    clicks = 0
    if not found.get_by_text(PLANTED).first.is_visible():
        found.get_by_role("link", name="All failed jobs").click()
        clicks += 1
        row(found, "order: 7731").get_by_role("link", name="charge_card").click()
        clicks += 1
    expect(found.get_by_text(PLANTED).first).to_be_visible()
    assert clicks <= 3


def test_searching_with_completion(page: Open) -> None:
    found = page("/jobs")
    found.keyboard.press("/")
    box = found.get_by_role("combobox", name="Search jobs")
    expect(box).to_be_focused()
    box.press_sequentially("sta")
    found.get_by_role("option", name="state:").click()
    box.press_sequentially("fail")
    box.press("ArrowDown")
    box.press("Enter")
    expect(box).to_have_value("state:failed")
    box.press_sequentially(" kind:ref")
    expect(found.get_by_role("option", name="refund")).to_be_visible()
    box.press("ArrowDown")
    box.press("Tab")
    expect(box).to_have_value("state:failed kind:refund")
    box.press("Enter")
    expect(row(found, "refund")).to_have_count(6)
    expect(found.get_by_text("6 match")).to_be_visible()
    assert "q=state%3Afailed+kind%3Arefund" in found.url
    found.reload()
    settled(found)
    expect(row(found, "refund")).to_have_count(6)
    found.go_back()
    expect(box).to_have_value("")


def test_a_wrong_search_says_what_is_wrong(browser: Any, stage: Stage) -> None:
    with Browsing(browser, stage.url, stage.keys) as browsing:
        page = browsing.open("/jobs")
        box = page.get_by_role("combobox", name="Search jobs")
        box.fill("stat:failed")
        box.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("did you mean")
        browsing.complaints.clear()  # the browser reports the refused requests


def test_a_span_of_time(page: Open) -> None:
    found = page("/jobs?q=kind:refund")
    found.get_by_label("Created").select_option("last hour")
    expect(found.get_by_role("combobox", name="Search jobs")).to_have_value("age:<1h kind:refund")
    expect(row(found, "refund")).to_have_count(6)


def test_states_filter_and_keep_the_rest(page: Open) -> None:
    found = page("/jobs?q=queue:billing")
    found.get_by_role("navigation", name="States").get_by_role("link", name="failed").click()
    expect(row(found, "failed")).to_have_count(11)
    expect(found.get_by_role("combobox", name="Search jobs")).to_have_value("state:failed queue:billing")


def test_pages_of_a_list(page: Open) -> None:
    found = page("/jobs")
    first = row(found, "").first.inner_text()
    button(found, "Older").click()
    expect(button(found, "Newer")).to_be_enabled()
    expect(row(found, "").first).not_to_have_text(first)
    button(found, "Newer").click()
    expect(button(found, "Newer")).to_be_disabled()
    expect(row(found, "")).to_have_count(50)


def test_big_numbers_are_not_rounded(page: Open) -> None:
    found = page("/jobs?q=kind:resize")
    row(found, "/images/3.png").get_by_role("link", name="resize").click()
    expect(found.get_by_text(str(BIG))).to_be_visible()


def test_why_a_job_is_not_running(page: Open, stage: Stage) -> None:
    found = page(f"/jobs/{stage.ids['waiting']}")
    expect(found.get_by_text("Why is it not running?")).to_be_visible()
    expect(found.get_by_text("The queue night is paused", exact=False)).to_be_visible()
    expect(found.get_by_text("windlass queues resume night")).to_be_visible()


def test_two_attempts_side_by_side(page: Open, stage: Stage) -> None:
    found = page(f"/jobs/{stage.ids['planted']}?tab=attempts")
    attempts = found.locator(".attempts > li")
    expect(attempts.first).to_contain_text("Attempt 2")
    for number in (1, 2):
        found.get_by_label(f"Choose attempt {number}").check()
    button(found, "Compare two attempts").click()
    dialog = found.get_by_role("dialog")
    expect(dialog).to_contain_text("failed, tried again")
    expect(dialog).to_contain_text("differs")
    found.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_a_workflow_is_shown_from_its_job(page: Open, stage: Stage) -> None:
    found = page("/jobs?q=args.day:first")
    row(found, "day: first").get_by_role("link").first.click()
    expect(found.get_by_text("workflow newsletter")).to_be_visible()
    expect(found.get_by_role("heading", name="Before")).to_be_visible()


def test_columns_can_be_chosen_and_are_remembered(page: Open) -> None:
    found = page("/jobs")
    expect(found.get_by_role("columnheader", name="Priority")).to_have_count(0)
    button(found, "Columns").click()
    found.get_by_label("Priority").check()
    expect(found.get_by_role("columnheader", name="Priority")).to_be_visible()
    found.reload()
    expect(found.get_by_role("columnheader", name="Priority")).to_be_visible()


def test_keys(page: Open) -> None:
    found = page("/jobs")
    found.keyboard.press("?")
    expect(found.get_by_role("dialog")).to_contain_text("Keyboard shortcuts")
    found.keyboard.press("Escape")
    for key in ("j", "j", "x"):
        found.keyboard.press(key)
    expect(found.get_by_role("toolbar")).to_contain_text("1 job chosen")
    found.keyboard.press("Escape")
    expect(found.get_by_role("toolbar")).to_have_count(0)
    found.keyboard.press("Enter")
    expect(found.get_by_role("tab", name="Data")).to_be_visible()
    found.keyboard.press("g")
    found.keyboard.press("q")
    expect(heading(found)).to_have_text("Queues")
    found.keyboard.press("t")
    expect(found.locator("html")).to_have_attribute("data-theme", "light")


def test_going_anywhere_by_typing(page: Open, stage: Stage) -> None:
    found = page("/")
    found.keyboard.press("Control+k")
    box = found.get_by_role("combobox", name="Where to")
    expect(box).to_be_focused()
    box.press_sequentially("bill")
    expect(found.get_by_role("option", name="billing queue")).to_be_visible()
    assert_accessible(found)
    found.keyboard.press("Enter")
    expect(heading(found)).to_have_text("billing")
    found.keyboard.press("Control+k")
    box.fill(stage.ids["planted"])
    found.keyboard.press("Enter")
    expect(found.get_by_text(PLANTED).first).to_be_visible()


# acting


def test_retrying_a_failed_job(fresh_page: Open, fresh_stage: Stage) -> None:
    found = fresh_page("/jobs?q=kind:refund")
    row(found, "order: 2").get_by_role("link", name="refund").click()
    expect(found.get_by_role("tab", name="Attempts 1")).to_be_visible()
    button(found, "Retry").click()
    expect(found.get_by_text("It runs again")).to_be_visible()
    expect(found.get_by_role("tab", name="Attempts 2")).to_be_visible()
    expect(found.get_by_role("tab", name="History 1")).to_be_visible()


def test_cancelling_a_running_job(fresh_page: Open, fresh_stage: Stage) -> None:
    found = fresh_page(f"/jobs/{fresh_stage.ids['report']}")
    expect(found.locator("main .page-head .state")).to_have_text("active")
    expect(found.get_by_role("progressbar").first).to_have_attribute("aria-valuenow", "42")
    button(found, "Cancel").click()
    button(found, "Cancel the job").click()
    expect(found.locator("main .page-head .state")).to_have_text("cancelled")


def test_editing_and_cloning(fresh_page: Open, fresh_stage: Stage) -> None:
    found = fresh_page("/jobs?q=kind:resize")
    row(found, "/images/3.png").get_by_role("link", name="resize").click()
    before = found.url
    button(found, "More acts").click()
    button(found, "Edit and clone").click()
    box = found.get_by_role("textbox", name="Arguments")
    box.fill('{"path": "/images/clone.png", "width": 9007199254740993777,}')
    expect(found.get_by_role("alert")).to_contain_text("not JSON")
    expect(button(found, "Make the job")).to_be_disabled()
    box.fill('{"path": "/images/clone.png", "width": 9007199254740993777}')
    button(found, "Make the job").click()
    expect(found.get_by_text("/images/clone.png").first).to_be_visible()
    expect(found.get_by_text("9007199254740993777").first).to_be_visible()
    assert found.url != before


def test_a_new_job(browser: Any, fresh_stage: Stage) -> None:
    with Browsing(browser, fresh_stage.url, fresh_stage.keys) as browsing:
        page = browsing.open("/jobs")
        button(page, "New job").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Kind").select_option("send_email")
        box = dialog.get_by_role("textbox", name="Arguments")
        expect(box).to_have_value('{\n  "to": ""\n}')
        assert_accessible(page)
        box.fill('{"nobody": "new@example.com"}')
        button(page, "Make the job").click()
        expect(dialog.get_by_role("alert")).to_contain_text("missing a required argument: 'to'")
        browsing.complaints.clear()  # the browser reports the refused request
        box.fill('{"to": "new@example.com"}')
        dialog.get_by_label("Delay").fill("2h")
        button(page, "Make the job").click()
        expect(page.locator("main .page-head .state")).to_have_text("delayed")
        expect(page.get_by_text("new@example.com").first).to_be_visible()


def test_many_with_undo(fresh_page: Open, fresh_stage: Stage) -> None:
    found = fresh_page("/jobs?q=state:failed kind:refund")
    boxes = found.locator("tbody input[type=checkbox]")
    boxes.nth(0).click()
    boxes.nth(3).click(modifiers=["Shift"])
    expect(found.get_by_role("toolbar")).to_contain_text("4 jobs chosen")
    button(found, "Delete").click()
    tray = found.get_by_role("region", name="Bulk acts")
    expect(tray).to_contain_text("begins in")
    button(found, "Undo").click()
    expect(tray).to_contain_text("Undone: nothing was changed")
    expect(row(found, "refund")).to_have_count(6)


def test_many_of_a_search(fresh_page: Open, fresh_stage: Stage) -> None:
    found = fresh_page("/jobs?q=state:failed kind:refund")
    button(found, "All matching").click()
    dialog = found.get_by_role("dialog")
    dialog.get_by_label("Delete").check()
    expect(dialog).to_contain_text("6 jobs would be reached")
    button(found, "Delete 6").click()
    expect(found.get_by_role("region", name="Bulk acts")).to_contain_text("Deleted 6 jobs")
    expect(found.get_by_text("No job matches")).to_be_visible()


def test_pausing_a_queue(fresh_page: Open, fresh_stage: Stage) -> None:
    found = fresh_page("/queues")
    row(found, "billing").get_by_role("button", name="Pause").click()
    expect(row(found, "billing").get_by_text("paused")).to_be_visible()
    row(found, "billing").get_by_role("link", name="billing").click()
    expect(found.locator(".page-head")).to_contain_text("paused")
    button(found, "Resume").click()
    expect(button(found, "Pause")).to_be_visible()


def test_names_with_slashes(fresh_page: Open, fresh_stage: Stage) -> None:
    enqueue(fresh_stage, "nightly", queue="team/mail+1", day="in a path")
    found = fresh_page("/queues")
    row(found, "team/mail+1").get_by_role("link", name="team/mail+1").click()
    expect(heading(found)).to_have_text("team/mail+1")
    expect(found).to_have_title("team/mail+1 · Windlass")
    found.reload()
    button(found, "Pause").click()
    expect(button(found, "Resume")).to_be_visible()
    found.get_by_role("link", name="All of its jobs").click()
    expect(row(found, "nightly")).to_have_count(1)


def test_clearing_a_queue_is_asked_first(fresh_page: Open, fresh_stage: Stage) -> None:
    found = fresh_page("/queues/night")
    waiting = found.get_by_role("navigation", name="Jobs by state").get_by_role("link", name="waiting")
    expect(waiting).not_to_contain_text("0")
    button(found, "Clear").click()
    button(found, "Keep it as it is").click()
    expect(waiting).not_to_contain_text("0")
    button(found, "Clear").click()
    button(found, "Delete them").click()
    expect(waiting).to_contain_text("7")  # those that others wait for stay


def test_a_worker_tells_what_became_of_its_jobs(page: Open) -> None:
    found = page("/workers")
    found.locator("main table.table tbody a").first.click()
    card = found.locator("section, .card").filter(has_text="Last 24 hours").last
    expect(card).to_contain_text("Completed")
    expect(card).to_contain_text("median; p95")
    assert_accessible(found)
