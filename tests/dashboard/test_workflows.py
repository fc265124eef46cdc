"""The graph of a workflow: drawn soon, opened by a click, moved by dragging, acted on."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.dashboard.browser import Browsing
from tests.dashboard.conftest import Stage, served
from windlass import Windlass, group

SOON = 1.0
"""Seconds within which four hundred boxes are drawn on a quiet machine; tests allow ten times that, and print the figure."""


def test_a_box_leads_to_its_job(page: Callable[..., Any], stage: Stage) -> None:
    found = page(f"/workflows/{stage.ids['workflow']}")
    boxes = found.locator(".graph-node")
    expect(boxes).to_have_count(6)
    boxes.first.click()
    expect(found.get_by_role("heading", level=1)).to_have_text("nightly")
    assert "/jobs/jobs/" in found.url


def test_the_sheet_is_moved_and_enlarged(page: Callable[..., Any], stage: Stage) -> None:
    found = page(f"/workflows/{stage.ids['workflow']}")
    sheet = found.locator(".graph-sheet")
    expect(sheet).to_be_visible()
    before = sheet.evaluate("it => it.style.transform")
    frame = found.locator(".graph").bounding_box()
    found.mouse.move(frame["x"] + 20, frame["y"] + frame["height"] - 20)
    found.mouse.down()
    found.mouse.move(frame["x"] + 120, frame["y"] + frame["height"] - 60, steps=4)
    found.mouse.up()
    moved = sheet.evaluate("it => it.style.transform")
    assert moved != before
    found.get_by_role("button", name="+", exact=True).click()
    assert sheet.evaluate("it => it.style.transform") != moved
    found.get_by_role("button", name="Fit").click()
    assert sheet.evaluate("it => it.style.transform") == before
    found.get_by_role("button", name="Top down").click()
    expect(found.get_by_role("button", name="Left to right")).to_be_visible()


def test_the_list_says_the_same(page: Callable[..., Any], stage: Stage) -> None:
    found = page(f"/workflows/{stage.ids['workflow']}?tab=list")
    table = found.get_by_role("table", name="Jobs of the workflow")
    expect(table.locator("tbody tr")).to_have_count(6)


def test_a_viewer_only_looks(page: Callable[..., Any], stage: Stage) -> None:
    found = page(f"/workflows/{stage.ids['workflow']}", role="viewer")
    expect(found.locator(".graph-node")).to_have_count(6)
    expect(found.get_by_role("button", name="Cancel")).to_have_count(0)


@pytest.mark.slow
def test_four_hundred_boxes_are_drawn_soon(browser: Any, tmp_path: Path) -> None:
    with served(tmp_path) as stage:
        with ThreadPoolExecutor(1) as thread:
            id = thread.submit(asyncio.run, _large(f"sqlite:///{tmp_path / 'stage.db'}")).result()
        with Browsing(browser, stage.url, stage.keys) as browsing:
            found = browsing.open("/workflows")
            began = time.monotonic()
            found.goto(f"{stage.url}/jobs/workflows/{id}")
            expect(found.locator(".graph-node").nth(399)).to_be_attached()
            took = time.monotonic() - began
    print(f"400 boxes after {took:.2f} s")
    assert took < 10 * SOON


async def _large(url: str) -> str:
    """Four hundred jobs that do not fold: each of a name of its own, in twenty layers, after two of the layer before."""
    app = Windlass(url, maintenance=False)

    @app.job
    async def part(layer: int, place: int) -> None: ...

    async with app:
        jobs: list[Any] = []
        for at in range(400):
            layer, place = divmod(at, 20)
            above = [jobs[at - 20], jobs[at - 20 + (1 if place < 19 else -19)]] if layer else []
            jobs.append(part.options(name=f"part-{at}", after=above).job(layer, place))
        return (await app.run(group(*jobs))).id
