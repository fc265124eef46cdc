"""Makes the pictures of the guides: `python -m tests.dashboard.pictures` writes docs/images/*.png.

An hour of a shop is played with the store's clock held, so that charts have something to show; then its pages are taken as a
browser draws them.
"""

import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.dashboard import stage
from tests.dashboard.browser import Browsing, open_browser, settled
from tests.dashboard.conftest import served
from windlass import Windlass
from windlass.values.clock import SECOND

IMAGES = Path(__file__).parent.parent.parent / "docs" / "images"
MINUTES = 62
WIDTH, HEIGHT = 1280, 740


class Shot:
    """A page as it is to be taken."""

    def __init__(self, name: str, path: str, theme: str, width: int = WIDTH, height: int = HEIGHT) -> None:
        self.name, self.path, self.theme, self.width, self.height = name, path, theme, width, height


PAGES = (
    ("overview", "/"),
    ("jobs", "/jobs"),
    ("job", "/jobs/{planted}"),
    ("queues", "/queues"),
    ("queue", "/queues/email"),
    ("errors", "/errors"),
    ("workflow", "/workflows/{workflow}"),
)
SHOTS: Sequence[Shot] = (
    *(Shot(f"{name}-{theme}", path, theme) for name, path in PAGES for theme in ("light", "dark")),
    Shot("why-light", "/jobs/{waiting}", "light"),
    Shot("phone-jobs", "/jobs?q=state:failed", "dark", 390, 780),
    Shot("phone-job", "/jobs/{planted}", "light", 390, 780),
)


async def play_an_hour(shop: Windlass) -> None:
    """What came and went in the last hour."""
    chance = random.Random(7)
    store: Any = await shop.store()
    end = await store.now()
    for minute in range(MINUTES, 1, -1):
        at = end - minute * 60 * SECOND
        await store.hold_time(at)
        wave = 1.4 if 20 < minute < 34 else 1.0
        mails = [
            stage.send_email.options(user=chance.choice("abc")).job(to=f"c{n}@example.com")
            for n in range(int(chance.gauss(14, 3) * wave))
        ]
        pictures = [stage.resize.job(path=f"/images/{n}.png") for n in range(chance.randint(2, 6))]
        refunds = [stage.refund.job(order=chance.randint(1000, 9999)) for _ in range(chance.choice((0, 0, 0, 1)))]
        await shop.enqueue_many([*mails, *pictures, *refunds])
        await store.hold_time(at + int(chance.uniform(0.02, 0.4) * wave * SECOND))
        await shop.drain()
    await store.hold_time(None)


def main() -> None:
    command = shutil.which("chromium") or shutil.which("google-chrome")
    if command is None:
        sys.exit("chromium is needed: apt-get install -y --no-install-recommends chromium")
    IMAGES.mkdir(exist_ok=True)
    stage.before = play_an_hour
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder), "--worker") as found,
        open_browser(command) as browser,
        Browsing(browser, found.url, found.keys) as browsing,
    ):
        for shot in SHOTS:
            page = browsing.open(shot.path.format(**found.ids), shot.theme, shot.width, height=shot.height)
            settled(page)
            page.wait_for_timeout(600)
            page.screenshot(path=IMAGES / f"{shot.name}.png")
            sys.stdout.write(f"{shot.name}: {(IMAGES / f'{shot.name}.png').stat().st_size // 1000} kB\n")
            page.context.close()


if __name__ == "__main__":
    main()
