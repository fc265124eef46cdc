"""What a person does on the pages of errors, schedules, limits, alerts, webhooks and settings, and what comes of it."""

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.dashboard.browser import Browsing
from tests.dashboard.conftest import Stage, served


@pytest.fixture
def own(tmp_path: Path, browser: Any) -> Any:
    """A stage that a test may change."""
    with served(tmp_path) as stage, Browsing(browser, stage.url, stage.keys) as browsing:
        yield stage, browsing.open
        # Browsers report refused requests and what is not there, and these tests have some of both.
        browsing.complaints[:] = [each for each in browsing.complaints if "422" not in each and "404" not in each]


def ask(stage: Stage, path: str) -> Any:
    headers = {"authorization": f"Bearer {stage.keys['admin']}"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{stage.url}/api/v1{path}", headers=headers), timeout=10
    ) as answer:
        return json.loads(answer.read())


def test_an_error_group_is_looked_at_resolved_and_replayed(own: tuple[Stage, Callable[..., Any]]) -> None:
    stage, open_page = own
    page = open_page("/errors")
    page.get_by_role("button", name="PaymentDeclined").click()
    expect(page.get_by_text("INSUFFICIENT-FUNDS").first).to_be_visible()
    expect(page.get_by_role("table", name="Dead letters of this error").locator("tbody tr")).to_have_count(5)
    page.get_by_role("button", name="Retry 5").click()
    page.get_by_role("button", name="Run them again").click()
    page.get_by_role("link", name="They run again: see how far it is").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("windlass.replay")
    page.goto(f"{stage.url}/jobs/errors")
    page.get_by_role("button", name="Fail", exact=True).click()
    page.get_by_role("button", name="Resolve").click()
    page.get_by_label("Which groups").select_option("resolved")
    expect(page.get_by_role("button", name="Fail", exact=True)).to_be_visible()


def test_a_schedule_is_made_run_paused_and_removed(own: tuple[Stage, Callable[..., Any]]) -> None:
    stage, open_page = own
    page = open_page("/schedules")
    page.get_by_role("button", name="New schedule").click()
    page.get_by_label("Name").fill("every/morning")
    page.get_by_label("Kind of job").fill("nightly")
    page.get_by_label("Expression").fill("30 2 * * *")
    page.get_by_label("Time zone").fill("Europe/Berlin")
    page.get_by_label("Arguments (JSON)").fill('{"day": "mon"}')
    expect(page.get_by_role("dialog").locator("li time")).to_have_count(5)
    page.get_by_label("Expression").fill("61 2 * * *")
    expect(page.get_by_role("dialog").get_by_role("alert")).to_be_visible()
    page.get_by_label("Expression").fill("30 2 * * *")
    expect(page.get_by_role("dialog").locator("li time")).to_have_count(5)
    page.get_by_role("button", name="Keep", exact=True).click()
    page.get_by_role("link", name="every/morning").click()
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_role("table", name="Runs").locator("tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_role("button", name="Resume", exact=True)).to_be_visible()
    assert ask(stage, "/schedules/every%2Fmorning")["paused"] is True
    page.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Schedules")
    expect(page.get_by_role("link", name="every/morning")).to_have_count(0)


def test_a_limit_is_set_and_cleared_and_a_breaker_reset(own: tuple[Stage, Callable[..., Any]]) -> None:
    stage, open_page = own
    page = open_page("/limits")
    page.get_by_role("button", name="Set a limit").click()
    page.get_by_role("dialog").get_by_label("Key").fill("kind:resize")
    page.get_by_label("At once").fill("3")
    page.get_by_role("button", name="Set it").click()
    expect(page.get_by_text("kind:resize", exact=True)).to_be_visible()
    assert ask(stage, "/limits/kind:resize")["concurrency"] == 3
    page.get_by_role("tab", name="Breakers").click()
    page.get_by_role("row", name="openai").get_by_role("button", name="Reset").click()
    expect(page.get_by_role("row", name="openai").get_by_text("closed")).to_be_visible()


def test_an_alert_that_fires_is_seen_from_everywhere(own: tuple[Stage, Callable[..., Any]]) -> None:
    stage, open_page = own
    count = len(ask(stage, "/alerts?firing=true")["items"])
    page = open_page("/")
    firing = page.get_by_role("main").get_by_role("link", name=re.compile("alerts? firing"))
    tail = page.get_by_role("link", name=re.compile("^Alerts")).locator(".tail")
    assert count, "the stage has dead letters, and the rule for them"
    expect(firing).to_have_text(re.compile(rf"^{count} alert"))
    expect(tail).to_have_text(str(count))


def test_a_rule_and_a_channel_are_made(own: tuple[Stage, Callable[..., Any]]) -> None:
    stage, open_page = own
    page = open_page("/alerts?tab=rules")
    page.get_by_role("button", name="New rule").click()
    page.get_by_label("Name").fill("too-many")
    page.get_by_label("Watches").select_option("queue-size")
    page.get_by_label("Fires from").fill("50")
    page.get_by_label("ops").check()
    page.get_by_role("button", name="Keep", exact=True).click()
    expect(page.get_by_text("too-many").first).to_be_visible()
    (rule,) = [each for each in ask(stage, "/alerts/rules")["items"] if each["name"] == "too-many"]
    assert (rule["watch"], rule["threshold"], rule["channels"]) == ("queue-size", 50, ["log", "ops"])
    page.get_by_role("tab", name="Channels").click()
    page.get_by_role("button", name="New channel").click()
    page.get_by_label("Name").fill("mail")
    page.get_by_label("Recipients").fill("nobody")
    page.get_by_role("button", name="Keep", exact=True).click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_be_visible()
    page.get_by_label("Recipients").fill("ops@example.com")
    page.get_by_role("button", name="Keep", exact=True).click()
    expect(page.get_by_role("table", name="Channels").get_by_text("ops@example.com")).to_be_visible()


def test_an_endpoint_is_made_pinged_and_switched_off(own: tuple[Stage, Callable[..., Any]]) -> None:
    stage, open_page = own
    page = open_page("/webhooks")
    page.get_by_role("button", name="New endpoint").click()
    page.get_by_label("Address").fill("https://hooks.example.com/in")
    page.get_by_label("job.completed").check()
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("dialog").locator("code")).to_contain_text("whsec_")
    page.get_by_role("button", name="Close").click()
    row = page.get_by_role("row", name="https://hooks.example.com/in")
    row.get_by_role("button", name="Show").click()
    page.get_by_role("button", name="Send a ping").click()
    expect(page.get_by_role("table", name="Deliveries").get_by_text("ping")).to_be_visible()
    page.get_by_role("button", name="Switch off").click()
    expect(row.get_by_text("off", exact=True)).to_be_visible()
    (made,) = [each for each in ask(stage, "/webhooks")["items"] if each["url"].startswith("https://hooks")]
    assert made["active"] is False and made["events"] == ["job.failed", "job.completed"]


def test_an_admin_makes_and_revokes_a_key(own: tuple[Stage, Callable[..., Any]]) -> None:
    _, open_page = own
    page = open_page("/settings", role="admin")
    page.get_by_role("button", name="New key").click()
    page.get_by_label("What it is for").fill("the shop")
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_role("dialog").locator("code")).to_contain_text("wl_")
    page.get_by_role("button", name="Close").click()
    row = page.get_by_role("row", name="the shop")
    row.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(row.get_by_text("revoked")).to_be_visible()


@pytest.mark.parametrize("path", ["/errors", "/schedules", "/limits", "/workflows"])
def test_a_viewer_finds_no_button_that_changes_anything(page: Callable[..., Any], path: str) -> None:
    found = page(path, role="viewer")
    for words in ("Retry all", "Purge", "New schedule", "Pause", "Run", "Set a limit", "Set", "Cancel"):
        expect(found.get_by_role("button", name=words, exact=True)).to_have_count(0)


def test_a_job_that_retention_deleted_shows_its_history(own: tuple[Stage, Callable[..., Any]], tmp_path: Path) -> None:
    stage, open_page = own
    page = open_page(f"/jobs/{stage.ids['planted']}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("charge_card")
    expect(page.get_by_text("Arguments").first).to_be_visible()
    address = f"sqlite:///{tmp_path / 'stage.db'}"
    subprocess.run([sys.executable, "-m", "windlass", "prune", "--url", address, "--failed", "0s"], check=True)
    page.reload()
    expect(page.get_by_text("Retention deleted this job")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_contain_text("charge_card")
    expect(page.locator(".timeline li").last).to_contain_text("retention")
    expect(page.get_by_text("PaymentDeclined").first).to_be_visible()
