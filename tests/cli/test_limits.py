"""`windlass limits` and `windlass queues set`: forms, changes, what is unknown or cannot be."""

import json

import pytest

from tests.cli.terminal import Shell

A = ("-A", "desk")
DESK = """
from windlass import Limit, Windlass

app = Windlass("sqlite:///desk.db", maintenance=False)
app.queue("mail", rate_limit="100/m", concurrency=10, order="fair")


@app.job(queue="mail", limits=[Limit(by="tenant", concurrency=2)])
async def send(tenant: str) -> None: ...
"""


@pytest.fixture
def desk(shell: Shell) -> Shell:
    (shell.folder / "desk.py").write_text(DESK)
    shell.ok("enqueue", *A, "send", '{"tenant": "acme"}')
    shell.ok("worker", *A, "--until-idle")
    return shell


def test_listing_in_three_forms(desk: Shell) -> None:
    assert desk.ok("limits", "ls", *A, "-o", "ids").lines == ["queue:mail", "send:tenant=acme"]
    mail, acme = desk.ok("limits", "ls", *A, "-o", "json").json["items"]
    assert (mail["key"], mail["concurrency"], mail["rate"], mail["used"]) == ("queue:mail", 10, "100/m", 1)
    assert (acme["concurrency"], acme["rate"], acme["held"], acme["pinned"]) == (2, None, 0, False)
    head, first, second = desk.ok("limits", "ls", *A).lines
    assert head.split() == ["KEY", "AT", "ONCE", "RATE", "HELD", "USED", "OPENS", "JOBS", "WAIT", "SET", "BY"]
    assert (first.split()[0], second.split()[0]) == ("queue:mail", "send:tenant=acme")
    desk.ok("migrate", "up", "--url", "sqlite:///other.db")
    assert "no limits" in desk.ok("limits", "ls", "--url", "sqlite:///other.db").err


def test_set_show_and_clear(desk: Shell) -> None:
    (put,) = desk.ok("limits", "set", *A, "queue:mail", "-c", "3", "--rate", "5/30s", "-o", "json").json["items"]
    assert (put["concurrency"], put["rate"], put["pinned"]) == (3, "5/30s", True)
    desk.ok("worker", *A, "--until-idle")
    found = desk.ok("limits", "show", *A, "queue:mail", "-o", "json").json
    assert (found["concurrency"], found["rate"]) == (3, "5/30s"), "a worker's start leaves it"
    assert [act["action"] for act in found["acts"]]
    shown = desk.ok("limits", "show", *A, "queue:mail").out
    assert "5/30s" in shown
    assert "an operator" in shown
    assert desk.ok("limits", "clear", *A, "queue:mail").lines == ["queue:mail is as code declares it"]
    (mail, _) = desk.ok("limits", "ls", *A, "-o", "json").json["items"]
    assert (mail["concurrency"], mail["rate"], mail["pinned"]) == (10, "100/m", False)
    desk.ok("limits", "set", *A, "kind:send", "--shut-for", "1h")
    assert "in 60m" in desk.ok("limits", "ls", *A).out or "in 1h" in desk.ok("limits", "ls", *A).out


def test_what_is_unknown_or_cannot_be(desk: Shell) -> None:
    answer = desk.run("limits", "show", *A, "queue:mial")
    assert (answer.code, "did you mean" in answer.err) == (4, True)
    assert desk.run("limits", "clear", *A, "send:tenant=acme", "nothing").code == 4
    assert len(desk.ok("limits", "ls", *A, "-o", "ids").lines) == 2, "all or nothing"
    for words in (("-c", "0"), ("--rate", "5/0s"), ("--rate", "often"), ("--burst", "5"), ()):
        answer = desk.run("limits", "set", *A, "queue:mail", *words, "-o", "json")
        assert (answer.code, json.loads(answer.err)["code"]) == (2, "invalid-option"), words
    for nameless in ("queue:", "kind:", "provider:", "queue:no name"):
        assert desk.run("limits", "set", *A, nameless, "-c", "1").code == 2, nameless
    assert desk.run("limits", "set", *A, "mail", "--burst", "5").err.count("leave it out") == 1


def test_orders_of_queues(desk: Shell) -> None:
    assert desk.ok("queues", "ls", *A, "-o", "json").json["items"][0]["order"] == "fair"
    assert "fair" in desk.ok("queues", "ls", *A).out
    assert desk.ok("queues", "set", *A, "mail", "--order", "ageing", "--ageing", "30s").lines == [
        "mail is ageing, a point of priority is worth 30s"
    ]
    desk.ok("worker", *A, "--until-idle")
    assert desk.ok("queues", "ls", *A, "-o", "json").json["items"][0]["order"] == "ageing"
    desk.ok("queues", "set", *A, "mail", "--by-code")
    desk.ok("worker", *A, "--until-idle")
    assert desk.ok("queues", "ls", *A, "-o", "json").json["items"][0]["order"] == "fair"
    assert desk.run("queues", "set", *A, "male", "--order", "fair").code == 4
    assert desk.ok("queues", "set", *A, "new", "--order", "weighted", "--create").lines == ["new is weighted"]
    for words in ((), ("--order", "random"), ("--order", "fair", "--ageing", "1m"), ("--order", "fair", "--by-code")):
        assert desk.run("queues", "set", *A, "mail", *words).code == 2, words
