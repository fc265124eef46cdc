"""Alerts and sweeps when things go wrong: servers that hang, hostile names, two looks at once, clocks that step, crowds."""

import asyncio
import email
import email.policy
import json
import socket
import threading
import tracemalloc
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from msgspec.structs import replace

from tests.telling.clock import held
from tests.telling.receiver import Receiver
from windlass import Windlass
from windlass.alerts import channels
from windlass.alerts.channels import Channel, Notice, read_post, tell
from windlass.errors import StoreUnavailable
from windlass.outbound import Clients
from windlass.webhooks.relay import Relay

HOSTILE = "dead\r\nBcc: evil@example.com\r\n\r\nbody \u2028 \x00 \x1b[31m <!channel> <http://evil.test|ok>"
NOTICE = Notice(
    id="n", event="firing", rule="r", group=HOSTILE, text=HOSTILE, value=1.0, since="s", at="a", command=HOSTILE
)


class Mails:
    """What a real SMTP server got."""

    def __init__(self) -> None:
        self.got: list[tuple[list[str], bytes]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.got.append((envelope.rcpt_tos, envelope.content))
        return "250 OK"


@pytest.fixture
def mails() -> Iterator[tuple[Mails, int]]:
    found = Mails()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(found, hostname="127.0.0.1", port=port)
    controller.start()
    yield found, port
    controller.stop()


async def test_no_name_becomes_a_header(mails: tuple[Mails, int]) -> None:
    post = read_post(f"smtp://127.0.0.1:{mails[1]}?tls=off", "jobs@example.com")
    await tell(Channel(name="ops", way="email", to=("ops@example.com",)), NOTICE, post, None)
    ((to, text),) = mails[0].got
    assert to == ["ops@example.com"]
    found = email.message_from_bytes(text, policy=email.policy.default)
    assert found["bcc"] is None and found["to"] == "ops@example.com"
    assert "evil@example.com" in found["subject"]  # said, not obeyed


async def test_no_name_mentions_anybody_in_a_chat(app: Windlass, receiver: Receiver) -> None:
    async with app:
        await app.alerts.put_channel("chat", "slack", url=receiver.url)
        client = Clients(lambda: app.settings.webhook_networks, 10).here()
        notice = replace(NOTICE, group="<!channel>", text="<http://evil.test|ok> & more", command="")
        await tell((await app.alerts.channels())[0], notice, None, client)
        text = json.loads(receiver.got[0].body)["text"]
        assert "<" not in text and "&lt;!channel&gt;" in text and "&amp; more" in text


async def test_one_alert_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    await tell(Channel(name="log", way="log"), NOTICE, None, None)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.isprintable(), line


def test_passwords_are_not_shown() -> None:
    post = read_post("smtp://ann:canary-password@mail.example:587", "")
    assert "canary" not in repr(post) and "ann" not in repr(post)


async def test_a_mail_server_that_hangs_is_left(app: Windlass, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection and says nothing: telling fails soon, and is tried again."""
    monkeypatch.setattr(channels, "_TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"smtp://ann:canary-password@127.0.0.1:{silent.getsockname()[1]}?tls=off"
        app.settings = replace(app.settings, smtp_url=url)
        async with asyncio.timeout(30), app:
            await app.alerts.put_channel("ops", "email", to="ops@example.com")
            id = await app.alerts.try_channel("ops")
            await app.drain()
            job = await app.jobs.get(id)
            assert job.state == "retrying"
            assert "canary" not in repr(job)
    assert not [thread for thread in threading.enumerate() if "smtp" in thread.name]


async def test_two_looks_at_once_tell_once(app: Windlass, receiver: Receiver) -> None:
    async with held(app) as box:
        await app.alerts.put_channel("hook", "webhook", url=receiver.url)
        await app.alerts.put_rule("dead", "dead-letters", window="1h", channels="hook")
        await app.handlers["fail"].enqueue()
        await app.drain()
        look = app.alerts.handlers._watch  # pyright: ignore[reportPrivateUsage]
        await asyncio.gather(*(look() for _ in range(8)))
        await app.drain()
        assert len(receiver.events("alert.firing")) == 1
        assert len(await app.alerts.history()) == 1
        await box.advance(timedelta(hours=2))
        await asyncio.gather(*(look() for _ in range(8)))
        await app.drain()
        assert len(receiver.events("alert.resolved")) == 1


async def test_a_clock_that_steps_back_tells_nothing_twice(app: Windlass, receiver: Receiver) -> None:
    async with held(app) as box:
        await app.alerts.put_channel("hook", "webhook", url=receiver.url)
        await app.alerts.put_rule("dead", "dead-letters", window="1h", channels="hook", repeat="1h")
        await app.handlers["fail"].enqueue()
        await app.drain()
        look = app.alerts.handlers._watch  # pyright: ignore[reportPrivateUsage]
        for step in (0, -600, 5, -3_000, 60):
            await box.advance(timedelta(seconds=step))
            await look()
        await app.drain()
        assert [event["type"] for event in receiver.events()] == ["alert.firing"]


async def test_a_full_store_while_alerts_look_costs_nothing_later(app: Windlass, receiver: Receiver) -> None:
    """Whatever step a look breaks off at, the next one makes up for it: told once."""
    async with held(app):
        await app.alerts.put_channel("hook", "webhook", url=receiver.url)
        await app.alerts.put_rule("dead", "dead-letters", window="1h", channels="hook")
        await app.handlers["fail"].enqueue()
        await app.drain()
        look, store = app.alerts.handlers._watch, await app.store()  # pyright: ignore[reportPrivateUsage]
        broken = 0
        for n in range(12):
            left = n

            def breaking(verb: Any) -> Any:
                async def call(*given: Any, **options: Any) -> Any:
                    nonlocal left
                    left -= 1
                    if left < 0:
                        raise StoreUnavailable("the disk is full")
                    return await verb(*given, **options)

                return call

            with pytest.MonkeyPatch.context() as patch:
                for name in ("exchange", "enqueue", "note_acts"):
                    patch.setattr(store, name, breaking(getattr(store, name)))
                try:
                    await look()
                except StoreUnavailable:
                    broken += 1
        assert broken
        await look()
        await app.drain()
        assert len(receiver.events("alert.firing")) == 1
        assert len(await app.alerts.history()) == 1


async def test_endpoints_stay_known_while_the_store_is_in_trouble(app: Windlass) -> None:
    async with app:
        await app.webhooks.add("https://shop.example/hooks")
        relay: Relay = app.webhooks.relay()
        await relay.refresh()
        assert not relay.is_idle
        store = await app.store()
        with pytest.MonkeyPatch.context() as patch:

            async def broken(*given: Any) -> Any:
                raise StoreUnavailable("gone")

            patch.setattr(store, "records", broken)
            await relay.refresh()
            assert not relay.is_idle
        await relay.refresh()
        assert not relay.is_idle


async def test_a_sweep_over_a_crowd_is_bounded_and_tells_once(app: Windlass) -> None:
    """Many cancelled at a time: page by page, and the same jobs however often it is swept."""
    many = 5_000
    async with app:
        await app.webhooks.add("https://shop.example/hooks", events="job.cancelled")
        refs = await app.enqueue_many([app.handlers["add"].job(n, n) for n in range(many)])
        await app.jobs.cancel(*[ref.id for ref in refs[:1]])
        await app.jobs.cancel(queue="default")
        install = app.webhooks.handlers
        tracemalloc.start()
        try:
            assert await install._sweep() == many  # pyright: ignore[reportPrivateUsage]
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 60_000_000, f"{peak:,} bytes"
        await install._sweep()  # pyright: ignore[reportPrivateUsage]
        stats = await app.queues.stats()
        assert sum(stats["windlass"].values()) == many, "each is told once"
