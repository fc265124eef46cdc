"""Alerts: what fires, once, to whom, and what survives a kill; told to a real SMTP server and a real HTTP server."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from standardwebhooks import Webhook

from tests.store.places import a_file_and_a_server, place_for
from tests.telling.clock import Held, held
from tests.telling.conftest import make
from tests.telling.receiver import Receiver
from tests.waiting import until
from windlass import InvalidOption, Windlass
from windlass.alerts.channels import read_post
from windlass.alerts.episode import Episode, look
from windlass.alerts.findings import Finding
from windlass.alerts.rule import read_rule
from windlass.errors import SettingsError
from windlass.values.clock import SECOND
from windlass.values.query import AuditQuery


class Mails:
    """A real SMTP server's handler: it keeps what it gets; `refuse` answers the next mails so."""

    def __init__(self) -> None:
        self.port = 0
        self.got: list[tuple[list[str], Any]] = []
        self.refuse: list[str] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refuse:
            return self.refuse.pop(0)
        self.got.append((envelope.rcpt_tos, message_from_bytes(envelope.content)))
        return "250 OK"


@pytest.fixture
def mails() -> Iterator[Mails]:
    found = Mails()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found.port = free.getsockname()[1]
    controller = Controller(found, hostname="127.0.0.1", port=found.port)
    controller.start()
    yield found
    controller.stop()


def with_mail(app: Windlass, mails: Any) -> Windlass:
    from msgspec.structs import replace

    app.settings = replace(
        app.settings, smtp_url=f"smtp://127.0.0.1:{mails.port}?tls=off", smtp_from="jobs@example.com"
    )
    return app


@asynccontextmanager
async def watching(app: Windlass) -> AsyncIterator[Held]:
    async with held(app) as box:
        yield box


async def look_now(box: Held, after: float = 0.0) -> None:
    await box.advance(timedelta(seconds=after))
    await box.app.alerts.look()
    await box.drain()


async def test_a_dead_letter_fires_once_is_told_by_mail_and_resolves_once(app: Windlass, mails: Any) -> None:
    async with watching(with_mail(app, mails)) as box:
        await box.app.alerts.put_channel("ops", "email", to=["ops@example.com", "boss@example.com"])
        await box.app.alerts.put_rule("dead", "dead-letters", threshold=2, window="5m", channels="ops")
        await box.app.handlers["fail"].enqueue()
        await box.drain()
        await look_now(box)
        assert not mails.got, "one is below the threshold"
        await box.app.handlers["fail"].enqueue()
        await box.drain()
        for _ in range(3):
            await look_now(box, 30)
        ((recipients, mail),) = mails.got
        assert recipients == ["ops@example.com", "boss@example.com"]
        assert mail["Subject"] == "[windlass] ALERT dead: mail" and mail["From"] == "jobs@example.com"
        assert "2 jobs of mail failed for good" in mail.get_payload()
        assert "windlass dead ls --queue mail" in mail.get_payload()
        (alert,) = await box.app.alerts.list()
        assert alert.firing and alert.group == "mail"
        for _ in range(3):
            await look_now(box, 400)
        assert [mail["Subject"] for _, mail in mails.got][1:] == ["[windlass] resolved dead: mail"]
        assert [notice.event for notice in await box.app.alerts.history()] == ["resolved", "firing"]


async def test_a_mail_that_is_refused_is_tried_again_under_one_id(memory_app: Windlass, mails: Any) -> None:
    mails.refuse = ["451 later", "421 too busy"]
    async with watching(with_mail(memory_app, mails)) as box:
        await box.app.alerts.put_channel("ops", "email", to="ops@example.com")
        id = await box.app.alerts.try_channel("ops")
        for _ in range(3):
            await box.drain()
            await box.advance(timedelta(seconds=61))
        ((_, mail),) = mails.got
        assert mail["Message-ID"].endswith("@windlass>")
        assert (await box.app.jobs.get(id)).attempt == 3


async def test_webhooks_slack_and_the_log_are_told(
    app: Windlass, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(app) as box:
        hook = await box.app.alerts.put_channel("hook", "webhook", url=receiver.url)
        await box.app.alerts.put_channel("chat", "slack", url=receiver.url + "/slack")
        await box.app.alerts.put_rule("size", "queue-size", threshold=3, channels=["hook", "chat", "log"])
        await box.app.enqueue_many([box.app.handlers["add"].options(delay="1h").job(n, n) for n in range(2)])
        await box.app.queues.pause("default")
        await box.app.enqueue_many([box.app.handlers["add"].job(n, n) for n in range(3)])
        await look_now(box)
        slack, signed = sorted(receiver.got, key=lambda got: got.path, reverse=True)
        told = Webhook(hook.secret).verify(signed.body, signed.headers)
        assert told["type"] == "alert.firing" and told["data"]["rule"] == "size" and told["data"]["value"] == 3
        assert slack.event["text"].startswith("[windlass] ALERT size: default")
        assert any("alert firing: 3 jobs wait in default" in record.message for record in caplog.records)


async def test_webhook_endpoints_hear_of_alerts(memory_app: Windlass, receiver: Receiver) -> None:
    async with watching(memory_app) as box:
        await box.app.webhooks.add(receiver.url, events="alert.*")
        await box.app.alerts.put_rule("dead", "dead-letters")
        await box.app.handlers["fail"].enqueue()
        await box.drain()
        await look_now(box)
        await look_now(box, 30)
        await look_now(box, 400)
        assert [event["type"] for event in receiver.events()] == ["alert.firing", "alert.resolved"]


async def test_each_watch_finds_what_it_watches(memory_app: Windlass) -> None:
    async with watching(memory_app) as box:
        app = box.app
        await app.alerts.put_standard()
        await app.alerts.put_rule("age", "queue-age", threshold=60)
        await app.alerts.put_rule("health", "health", threshold=1)
        await app.alerts.put_rule("queue-size", "queue-size", threshold=5)
        await app.breakers.open("openai", "1h")
        await app.schedules.put("tick", app.handlers["add"].job(1, 1), every="1h")
        await app.enqueue_many([app.handlers["fail"].job() for _ in range(25)])
        await box.drain()
        await box.advance(timedelta(hours=2))
        store = await app.store()
        await app.queues.pause("default")
        await app.enqueue_many([app.handlers["add"].job(n, n) for n in range(6)])
        await box.advance(timedelta(minutes=2))
        assert (await store.schedules(due_before=box.now)) != []
        await app.handlers["fail"].enqueue()
        found = await app.alerts.handlers.watch.fn()
        assert found > 0
        fired = {alert.rule for alert in await app.alerts.list(firing=True)}
        assert {"queue-size", "age", "health", "breakers", "schedules"} <= fired


async def test_a_rule_that_is_removed_is_forgotten_and_acts_are_audited(memory_app: Windlass) -> None:
    async with watching(memory_app) as box:
        await box.app.alerts.put_rule("dead", "dead-letters", actor="ann")
        await box.app.handlers["fail"].enqueue()
        await box.drain()
        await look_now(box)
        await box.app.alerts.remove_rule("dead", actor="bob")
        await look_now(box)
        assert await box.app.alerts.list() == []
        acts = await (await box.app.store()).audit(AuditQuery(target="alert-rule:dead"))
        assert [act.actor for act in acts] == ["bob", "ann"]


async def test_bad_rules_and_channels_are_refused(memory_app: Windlass) -> None:
    async with memory_app as app:
        for options in (
            {"threshold": 0}, {"threshold": -1}, {"window": "1s"}, {"channels": "nowhere"}, {"channels": []}, {"least": 0},
            {"repeat": "1s"}, {"treshold": 3},
        ):  # fmt: skip
            with pytest.raises(InvalidOption):
                await app.alerts.put_rule("r", "dead-letters", **options)  # type: ignore[arg-type]
        with pytest.raises(InvalidOption):
            await app.alerts.put_rule("r", "weather")  # type: ignore[arg-type]
        for to in ("nobody", [], "a@b.c\nBcc: x@y.z", ["a@b.c", 3]):
            with pytest.raises(InvalidOption):
                await app.alerts.put_channel("c", "email", to=to)  # type: ignore[arg-type]
        with pytest.raises(InvalidOption):
            await app.alerts.put_channel("c", "slack", url="http://10.0.0.1/")
        await app.alerts.put_channel("c", "email", to="a@b.c")
        await app.alerts.put_rule("r", "health", channels="c")
        with pytest.raises(InvalidOption, match="named by r"):
            await app.alerts.remove_channel("c")


def test_an_episode_is_told_once_and_keeps_still_in_its_cool_down() -> None:
    rule = read_rule("r", "queue-size", {"cool_down": "15m", "repeat": "1h"})
    now, found = 1_000 * SECOND, Finding("q", 5, "five")
    first = look(rule, "q", None, found, now)
    assert first is not None and (first.untold, first.number, first.firing) == ("firing", 1, True)
    told = _told(first)
    assert look(rule, "q", told, found, now + SECOND) is None
    over = look(rule, "q", told, None, now + 2 * SECOND)
    assert over is not None and (over.untold, over.number, over.firing) == ("resolved", 2, False)
    flapping = look(rule, "q", _told(over), found, now + 60 * SECOND)
    assert flapping is not None and flapping.silent and flapping.untold is None
    quiet = look(rule, "q", flapping, None, now + 90 * SECOND)
    assert quiet is not None and quiet.untold is None
    later = look(rule, "q", quiet, found, now + 3_600 * SECOND)
    assert later is not None and later.untold == "firing" and not later.silent
    again = look(rule, "q", _told(later), found, now + 7_300 * SECOND)
    assert again is not None and again.untold == "still-firing" and again.number == later.number + 1
    numbers = [each.number for each in (first, over, flapping, quiet, later, again)]
    assert numbers == sorted(set(numbers)), "a notice's number is never used twice"


def _told(episode: Episode) -> Episode:
    from msgspec.structs import replace

    return replace(episode, untold=None)


def test_smtp_addresses() -> None:
    assert read_post("smtps://u:p%40s@mail.example", "").port == 465
    assert read_post("smtp://mail.example:25?tls=off", "a@b").tls == "off"
    for bad in ("http://x", "smtp://", "smtp://x?tls=maybe"):
        with pytest.raises(SettingsError):
            read_post(bad, "")
    assert "p@s" not in repr(read_post("smtps://u:p%40s@mail.example", ""))


WATCHER = """
import asyncio, sys
from tests.telling.conftest import make
app = make(sys.argv[1], sys.argv[2])
async def main():
    async with app:
        app.alerts.handlers
        app.webhooks.handlers
        await app.worker(lease="1s").run()
asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("engine", a_file_and_a_server(__name__))
async def test_no_alert_is_lost_or_doubled_over_kills(engine: str, receiver: Receiver) -> None:
    """Workers are killed while they look and tell: each of 20 groups fires exactly once in the books, and arrives."""
    with place_for(engine) as place:
        app = make(place.url, place.namespace)
        async with app:
            await app.alerts.put_channel("hook", "webhook", url=receiver.url)
            # Looks that were killed too often are dead letters of the house's own queue: not what is counted here.
            await app.alerts.put_rule("dead", "dead-letters", window="1h", queues="q*", channels="hook")
            queues = [f"q{n}" for n in range(20)]
            await app.enqueue_many([app.handlers["fail"].options(queue=queue).job() for queue in queues])
            looks = [app.alerts.handlers.watch.options(delay=0.05 * n).job() for n in range(120)]
            await app.enqueue_many(looks)
            worker = None
            try:
                for n in range(12):
                    worker = _start(place.url, place.namespace)
                    await news_or_time(receiver, 1.0 + 0.05 * n)
                    os.kill(worker.pid, signal.SIGKILL)
                    worker.wait()
                # Looks that were under way at too many kills are dead letters by now; the schedule would make more of them.
                await app.enqueue_many([app.alerts.handlers.watch.options(delay=0.5 * n).job() for n in range(100)])
                worker = _start(place.url, place.namespace)
                await until(
                    lambda: {event["data"]["group"] for event in receiver.events("alert.firing")} == set(queues),
                    "every group's alert",
                    60,
                )

                async def remembered() -> bool:
                    return len(await app.alerts.history()) >= len(queues)

                await until(remembered, "every notice in the books")
            finally:
                if worker is not None:
                    worker.kill()
                    worker.wait()
            ids = {event["data"]["id"] for event in receiver.events("alert.firing")}
            assert len(ids) == len(queues), "one notice for each group, however often it had to be sent"
            assert len(await app.alerts.history()) == len(queues)


async def news_or_time(receiver: Receiver, seconds: float) -> None:
    """Until a request comes, or so many seconds have passed: kills at different moments of a worker's life."""
    seen, end = len(receiver.got), time.monotonic() + seconds
    await until(lambda: len(receiver.got) > seen or time.monotonic() > end, "news or time", seconds + 10)


def _start(url: str, namespace: str) -> "subprocess.Popen[bytes]":
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", WATCHER, url, namespace], cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
