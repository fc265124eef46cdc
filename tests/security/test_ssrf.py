"""Addresses that somebody else chose: every way of writing one inside, names that change, and answers that are mixed."""

import asyncio
import socket
from typing import Any

import httpx2 as httpx
import pytest

from tests.api_http.kit import opened, problem
from tests.store.kit import Place
from tests.telling.receiver import Receiver
from windlass import InvalidOption, Windlass
from windlass.outbound import AddressRefused, Outbound

WRITTEN = [
    "http://127.0.0.1/", "http://127.1/", "http://0/", "http://2130706433/", "http://0x7f.1/", "http://0x7f000001/",
    "http://0177.0.0.1/", "http://127.0.0.1./", "http://localhost/", "http://LOCALHOST./", "http://x.localhost/",
    "http://127。0。0。1/", "http://１２７.0.0.1/", "http://①②⑦.0.0.1/", "http://169.254.169.254/latest/meta-data",
    "http://[::1]/", "http://[::]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:a00:1]/", "http://[::127.0.0.1]/",
    "http://[fe80::1%25eth0]/", "http://[fd00::1]/", "http://[64:ff9b::7f00:1]/", "http://[64:ff9b:1::7f00:1]/",
    "http://[2002:7f00:1::]/", "http://[2001:0:7f00:1::]/", "http://100.64.0.1/", "http://192.0.0.8/", "http://198.18.0.1/",
    "http://user@example.com/", "http://u:p@example.com/", "http://example.com@127.0.0.1/", "http://127.0.0.1\\@example.com/",
    "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "unix:///run/x.sock", "//example.com/", "http:///x",
    "http://example.com:22/", "http://example.com:6379/", "http://example.com:0/", "http://example.com:99999/",
    "http://exa\r\nmple.com/", "http://example.com/\r\nX-Evil: 1", "http://example.com/\x00", "http://example.com/ x",
    "http://" + "a" * 9_000, "http://" + "ä" * 80 + ".example/", "",
]  # fmt: skip


@pytest.mark.parametrize("url", WRITTEN)
async def test_refused_when_it_is_named(url: str) -> None:
    async with Windlass("sqlite://:memory:") as app:
        with pytest.raises(InvalidOption):
            await app.webhooks.add(url)
        made = await app.webhooks.add("https://shop.example/hooks")
        with pytest.raises(InvalidOption):
            await app.webhooks.edit(made.id, url=url)
        for way in ("webhook", "slack"):
            with pytest.raises(InvalidOption):
                await app.alerts.put_channel("c", way, url=url)


async def test_refused_over_http(memory: Place) -> None:
    async with opened(memory) as door:
        client = await door.as_("operator")
        for url in ("http://127.1/x", "http://localhost/x", "http://[::1]/x"):
            problem(await client.post("/api/v1/webhooks", json={"url": url}), 422, "invalid-option")
            body = {"way": "slack", "url": url}
            problem(await client.put("/api/v1/alerts/channels/x", json=body), 422, "invalid-option")


def stub(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Every name leads to these addresses, the next time to the next ones; the names that were asked for."""
    asked: list[str] = []

    async def getaddrinfo(loop: Any, host: str, port: int, **options: Any) -> list[Any]:
        found = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
            for each in found
        ]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["10.0.0.1", "93.184.216.34"], ["2606:4700::1111", "::1"],
        ["::ffff:10.0.0.1"], ["64:ff9b::a00:1"], ["2002:a00:1::"], ["fe80::1%eth0"], ["169.254.169.254"],
    ],
)  # fmt: skip
async def test_names_that_lead_inside(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    """One address inside among public ones is enough: else whoever owns the name chooses by the order."""
    stub(monkeypatch, addresses)
    async with httpx.AsyncClient(transport=Outbound().transport()) as client:
        with pytest.raises(AddressRefused):
            await client.get("http://rebind.example/")


async def test_a_name_is_looked_up_once(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    """What was checked is what is called: a name that leads elsewhere a moment later is not asked again."""
    asked = stub(monkeypatch, ["127.0.0.1"], ["169.254.169.254"])
    port = receiver.url.split(":")[2].split("/")[0]
    async with httpx.AsyncClient(transport=Outbound(["127.0.0.0/8"]).transport()) as client:
        answer = await client.post(f"http://rebind.example:{port}/x", content=b"{}")
        assert answer.status_code == 200
        assert asked == ["rebind.example"]
        assert receiver.got[0].headers["host"] == f"rebind.example:{port}"
        with pytest.raises(AddressRefused):  # the next request looks anew, and kept no connection to go round the look
            await client.post(f"http://rebind.example:{port}/x", content=b"{}")
    assert len(receiver.got) == 1


async def test_a_port_of_another_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    stub(monkeypatch, ["93.184.216.34"])
    for port in (22, 25, 6379):
        with pytest.raises(AddressRefused):
            await Outbound(["10.0.0.0/8"]).resolve("mail.example", port)
    assert await Outbound().resolve("shop.example", 8443) == ["93.184.216.34"]
    assert await Outbound(["127.0.0.0/8"]).resolve("127.0.0.1", 22) == ["127.0.0.1"]


async def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    """A proxy would resolve the name itself."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, receiver.url)
    async with httpx.AsyncClient(transport=Outbound().transport()) as client:
        with pytest.raises(AddressRefused):
            await client.post("http://127.0.0.1:1/", content=b"{}")
    assert not receiver.got


async def test_an_endpoint_whose_name_leads_inside_is_noted_as_failing(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    async with Windlass("sqlite://:memory:") as app:
        made = await app.webhooks.add("https://rebind.example/hooks")
        stub(monkeypatch, ["10.0.0.1"])
        await app.webhooks.ping(made.id)
        await app.drain()
        (lost,) = (await app.webhooks.deliveries(made.id)).items
        assert (lost.state, lost.status) == ("failed", None)
        assert (await app.webhooks.get(made.id)).failing_since is not None
