"""A person at a browser: signed-in pages in a theme and a width, and what every page has to keep to."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

ROOT = Path(__file__).parent.parent.parent
AXE = ROOT / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
_ARGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
_WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
_RULES = "tags => axe.run(document, {runOnly: {type: 'tag', values: tags}})"
_RULES_OF_COLOURS = """tags => {
    const rules = axe.getRules(["cat.color"]).filter(rule => rule.tags.some(tag => tags.includes(tag)));
    if (!rules.some(rule => rule.ruleId === "color-contrast")) throw new Error("axe's rules have other names");
    return axe.run(document, {runOnly: {type: "rule", values: rules.map(rule => rule.ruleId)}});
}"""
PATIENCE = 60_000
"""Milliseconds that a fact may take to show on a busy machine."""


@contextmanager
def open_browser(command: str) -> Iterator[Browser]:
    """Chromium without a window."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=command, args=_ARGS)
        try:
            yield browser
        finally:
            browser.close()


class Browsing:
    """Pages of one test. Leaving it fails if any of them complained."""

    def __init__(self, browser: Browser, url: str, keys: dict[str, str]) -> None:
        self._browser = browser
        self._url = url
        self._keys = keys
        self._contexts: list[Any] = []
        self.complaints: list[str] = []

    def open(
        self,
        path: str | None = "/",
        theme: str = "light",
        width: int = 1440,
        role: str | None = "operator",
        height: int = 900,
    ) -> Page:
        """A page of the dashboard, in a browser context of its own, once it shows its title."""
        return self.open_in(self.context(theme, width, role, height), path)

    def context(self, theme: str, width: int, role: str | None, height: int = 900) -> BrowserContext:
        """What pages share that one person has open: the session, what is stored and what is cached."""
        context = self._browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if theme == "dark" else "light",
            reduced_motion="reduce",
            timezone_id="Europe/Berlin",
        )
        context.set_default_timeout(PATIENCE)
        self._contexts.append(context)
        if role is not None:
            answer = context.request.post(f"{self._url}/api/v1/session", data={"credential": self._keys[role]})
            assert answer.ok, answer.text()
        return context

    def open_in(self, context: BrowserContext, path: str | None) -> Page:
        """One more page of that person's, once it shows its title."""
        page = context.new_page()
        self.watch(page)
        if path is not None:
            page.goto(f"{self._url}/jobs{path}")
            settled(page)
        return page

    def watch(self, page: Page) -> None:
        """Hear what the page complains about."""
        page.on("console", lambda message: self._hear(message))
        page.on("pageerror", lambda error: self.complaints.append(f"{page.url}: {error}"))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.location.get('url')}: {message.text}")

    def __enter__(self) -> "Browsing":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for context in self._contexts:
            context.close()
        if kind is None:
            self.expect_silence()

    def expect_silence(self) -> None:
        """No page has complained so far."""
        told, self.complaints = self.complaints, []
        assert not told, "\n".join(told)


def settled(page: Page) -> None:
    """The page shows its title, and nothing on it is still loading."""
    page.locator("main h1").first.wait_for()
    expect(page.locator("main [aria-busy=true]")).to_have_count(0)


def assert_accessible(page: Page, *, colours: bool = False) -> None:
    """axe finds nothing against WCAG 2.2 A and AA; with `colours` only by the rules about these, which is all that a theme can
    change."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text("utf-8"))  # by the debugger: the page's policy lets no script in
    found = page.evaluate(_RULES_OF_COLOURS if colours else _RULES, _WCAG)
    told = [
        f"{each['id']} ({each['impact']}): {node['html'][:200]} | {node['failureSummary'][:300]}"
        for each in found["violations"]
        for node in each["nodes"][:5]
    ]
    assert not told, "\n".join(told)


def assert_fits(page: Page) -> None:
    """Nothing makes the page wider than the window."""
    widths = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert widths[0] <= widths[1], f"the page is {widths[0]} px wide in a window of {widths[1]}"
