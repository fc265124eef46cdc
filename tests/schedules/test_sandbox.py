"""Schedules in a sandbox: time that is told to pass fires them, each at its own time."""

from datetime import UTC, datetime, timedelta

import pytest

from windlass import Context, Windlass, testing
from windlass.errors import SettingsError
from windlass.settings import load_settings

NOW = datetime(2026, 3, 28, tzinfo=UTC)
app = Windlass("redis://nobody.invalid:1")  # never reached: tests sandbox it
ran: list[datetime] = []


@app.schedule("30 2 * * *", timezone="Europe/Berlin", kwargs={"what": "all"})
@app.job
async def back_up(ctx: Context, what: str) -> None:
    created = ctx.job.created_at
    ran.append(created)


@app.schedule(at=NOW + timedelta(hours=5), key="reminder")
@app.job
async def remind() -> None:
    await back_up.enqueue("by hand")


async def test_advancing_fires_what_becomes_due() -> None:
    ran.clear()
    async with testing.sandbox(app, now=NOW) as box:
        assert await box.advance("1h") == 0
        assert await box.advance("30m") == 1
        assert await box.advance("2d") == 4
        assert ran == [
            NOW + timedelta(hours=1, minutes=30),
            NOW + timedelta(hours=5),
            NOW + timedelta(days=1, hours=1),
            NOW + timedelta(days=2, minutes=30),
        ]
        box.assert_enqueued(back_up, what="all", count=3)
        box.assert_enqueued(remind, count=1)
        assert [each.key for each in await app.schedules.list()] == ["back_up", "reminder"], "no built-in ones in tests"


async def test_what_is_declared_or_put_inside_counts() -> None:
    async with testing.sandbox(app, now=NOW) as box:
        await app.schedules.put("often", back_up.job("often"), every="10m", overlap="queue")
        await app.schedules.pause("often")
        assert await box.advance("1h") == 0
        await app.schedules.resume("often")
        assert await box.advance("20m") == 2


@pytest.mark.parametrize(("text", "on"), [("off", False), ("0", False), ("False", False), ("on", True), ("yes", True)])
def test_the_setting(text: str, on: bool) -> None:
    assert load_settings({}, {"WINDLASS_MAINTENANCE": text}).maintenance is on
    assert load_settings({"maintenance": not on}, {"WINDLASS_MAINTENANCE": text}).maintenance is not on


def test_the_setting_misspelt() -> None:
    with pytest.raises(SettingsError, match=r"on\|off"):
        load_settings({"maintenance": "sometimes"}, {})
