"""Texts that want to be code, in everything that people and jobs may write, on every page that shows it, in a real browser."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

from tests.dashboard.browser import Browsing, settled
from tests.dashboard.conftest import Stage, browser, fresh_page, fresh_stage  # pyright: ignore[reportUnusedImport]

__all__ = ["browser", "fresh_page", "fresh_stage"]

MARK = "window.pwned=1"
HOSTILE = (
    f'<img src=x onerror="{MARK}">', f"</script><script>{MARK}</script>", f"javascript:{MARK}", "{{7*7}}${7*7}",
    f"<svg/onload={MARK}>", f"'\"><a href=\"javascript:{MARK}\">go</a>", "\u2028\u202e\u0000\x1b[31m<b>bold</b>",
)  # fmt: skip
TEXT = " ".join(HOSTILE).replace("\u0000", "")


def ask(stage: Stage, method: str, path: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {stage.keys['admin']}", "Content-Type": "application/json"}
    text = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{stage.url}/api/v1{path}", text, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{method} {path}: {error.code} {error.read()!r}") from None


def plant(stage: Stage) -> dict[str, str]:
    """What can be written by callers, written."""
    found: dict[str, str] = {}
    for name, kind, args in (
        ("args", "send_email", {"to": TEXT, "template": TEXT}),
        ("error", "import_feed", {"url": TEXT}),
        ("picture", "resize", {"path": TEXT}),
    ):
        found[name] = ask(stage, "POST", "/jobs", {"kind": kind, "args": args})["id"]
    later = ask(stage, "POST", "/jobs", {"kind": "send_email", "args": {"to": TEXT}, "delay": "1h"})["id"]
    ask(stage, "POST", f"/jobs/{later}/cancel", {"reason": TEXT[:200]})
    found["cancelled"] = later
    ask(
        stage,
        "POST",
        "/webhooks",
        {"url": f"https://shop.example/{urllib.parse.quote(TEXT)}", "description": TEXT[:400]},
    )
    ask(stage, "PUT", "/schedules/hostile", {"job": {"kind": "send_email", "args": {"to": TEXT}}, "every": "1h"})
    ask(stage, "POST", "/keys", {"name": "k", "role": "viewer"})
    return found


def test_texts_stay_texts(fresh_page: Callable[..., Any], fresh_stage: Stage) -> None:
    ids = plant(fresh_stage)
    paths = [
        "/jobs", "/jobs?q=kind:import_feed", "/queues", "/errors", "/audit", "/webhooks", "/schedules", "/schedules/hostile",
        "/alerts", "/settings", *(f"/jobs/{id}{tab}" for id in ids.values() for tab in ("", "?tab=attempts", "?tab=log")),
    ]  # fmt: skip
    page = fresh_page("/", role="admin")
    page.on("dialog", lambda dialog: dialog.dismiss() or page.evaluate("window.pwned = 2"))
    for path in paths:
        page.goto(f"{fresh_stage.url}/jobs{path}")
        settled(page)
        assert_harmless(page, path)
    page.goto(f"{fresh_stage.url}/jobs/jobs/{ids['args']}")
    page.get_by_text("onerror").first.wait_for()  # it is shown, as text


def test_what_an_address_says_stays_text(browser: Any, fresh_stage: Stage) -> None:
    """Every parameter that a page reads, and names in its path. Wrong searches are errors of the API, which browsers log."""
    with Browsing(browser, fresh_stage.url, fresh_stage.keys) as browsing:
        page = browsing.open("/", role="operator")
        for text in HOSTILE[:3]:
            quoted = urllib.parse.quote(text, safe="")
            for path in (f"/jobs?q={quoted}", f"/jobs?tab={quoted}", f"/metrics?last={quoted}&by={quoted}", f"/jobs/{quoted}",
                         f"/audit?action={quoted}", f"/queues/{quoted}", f"/errors?mark={quoted}", f"/{quoted}",
                         f"/alerts?tab={quoted}#{quoted}", f"/workflows?only={quoted}"):  # fmt: skip
                page.goto(f"{fresh_stage.url}/jobs{path}")
                page.locator("main h1").first.wait_for()
                assert_harmless(page, path)
        page.goto(f"{fresh_stage.url}/jobs/sign-in?next={urllib.parse.quote('//evil.test', safe='')}")
        page.locator("main").first.wait_for()
        assert page.url.startswith(fresh_stage.url)
        assert not [each for each in browsing.complaints if "Content Security Policy" in each], browsing.complaints
        browsing.complaints.clear()  # addresses of nothing are 404 and 422, as they should be


def assert_harmless(page: Any, where: str) -> None:
    """Nothing ran, and nothing of the texts became an element."""
    found = page.evaluate(
        "() => [window.pwned, document.querySelectorAll('img[src=\"x\"], main script, body svg[onload]').length,"
        " [...document.querySelectorAll('a[href]')].filter(a => a.protocol === 'javascript:').length,"
        " document.body.innerText.includes('4949')]"
    )
    assert found == [None, 0, 0, False], (where, found)
