"""`windlass jobs explain`, `run-now`, `reprioritise`, and `windlass breakers`."""

import json

import pytest

from tests.cli.terminal import Shell
from tests.store.places import a_file_and_a_server

pytestmark = pytest.mark.parametrize("engine", a_file_and_a_server(__name__), indirect=True)

A = ("-A", "shop")


def one(shop: Shell, *filters: str) -> str:
    return shop.ok("jobs", "ls", *A, "-o", "ids", *filters).lines[0]


def test_explain_in_words_that_fit_a_terminal(shop: Shell) -> None:
    shop.ok("queues", "pause", *A, "mail")
    id = one(shop, "--state", "waiting")
    lines = shop.ok("jobs", "explain", *A, id).lines
    assert lines[0] == f"greet {id} on mail is waiting"
    text = "\n".join(lines)
    assert "The queue mail is paused" in text
    assert "$ windlass queues resume mail -A shop" in lines[2]
    assert "$ windlass worker -A shop -q mail" in text
    assert "No worker is alive" in text
    assert "Place in its line: 2." in text
    assert max(len(line) for line in lines if "$ windlass" not in line) <= 80
    assert "is delayed until" in shop.ok("jobs", "explain", *A, one(shop, "--state", "delayed")).out
    assert "nobody is called nobody" in shop.ok("jobs", "explain", *A, one(shop, "--state", "failed")).out
    assert "It has completed." in shop.ok("jobs", "explain", *A, one(shop, "--state", "completed")).out


def test_explain_as_json_and_what_is_not_there(shop: Shell) -> None:
    id = one(shop, "--state", "waiting")
    found = shop.ok("jobs", "explain", *A, id, "-o", "json").json
    assert (found["id"], found["state"], found["position"]) == (id, "waiting", 2)
    assert found["blocked_by"] == ["no-worker", "in-line"]
    reason = found["reasons"][0]
    assert (reason["code"], reason["mend"]) == ("no-worker", "windlass worker -A module:app -q mail")
    several = shop.run("jobs", "explain", *A, "-o", "json", id, "nope")
    assert several.code == 4
    assert [each["id"] for each in json.loads(several.out)["items"]] == [id]
    assert shop.run("jobs", "explain", *A, "nope").code == 4
    assert shop.run("jobs", "explain", *A).code == 2


def test_run_now_and_reprioritise(shop: Shell) -> None:
    id = one(shop, "--state", "delayed")
    assert shop.ok("jobs", "run-now", *A, id).out == "1 job will run now\n"
    assert shop.ok("jobs", "reprioritise", *A, "critical", id).out == "1 job got the priority\n"
    job = shop.ok("jobs", "show", *A, id, "-o", "json").json
    assert (job["state"], job["priority"]) == ("waiting", 10)
    assert shop.ok("jobs", "reprioritise", *A, "7", "--kind", "greet").out == "3 jobs got the priority\n"
    answer = shop.run("jobs", "reprioritise", *A, "urgent", id)
    assert answer.code == 2
    assert "low, normal, high, critical" in answer.err


def test_breakers_are_listed_opened_and_reset(shop: Shell) -> None:
    assert "no provider" in shop.ok("breakers", "ls", *A).err
    opened = shop.ok("breakers", "open", *A, "openai", "--for", "10m", "-o", "json").json["items"][0]
    assert (opened["name"], opened["state"]) == ("openai", "open")
    head, row = shop.ok("breakers", "ls", *A).lines
    assert head.split()[:3] == ["PROVIDER", "STATE", "OPENS"]
    assert row.split()[:2] == ["openai", "open"]
    assert shop.ok("breakers", "ls", *A, "-o", "ids").lines == ["openai"]
    assert shop.ok("breakers", "reset", *A, "openai", "-o", "json").json["items"][0]["state"] == "closed"
    assert shop.run("breakers", "reset", *A, "no name").code == 2
    unknown = shop.run("breakers", "reset", *A, "opanai")
    assert (unknown.code, "did you mean" in unknown.err) == (4, True)
    assert shop.ok("breakers", "ls", *A, "-o", "ids").lines == ["openai"]
    assert shop.run("breakers", "open", *A, "openai", "--for", "soon").code == 2


def test_a_cursor_that_is_none_is_said_so(shop: Shell) -> None:
    answer = shop.run("jobs", "ls", *A, "--cursor", "zzz")
    assert answer.code == 2
    assert "cursor is 'zzz'; it must be the `next` of an earlier page" in answer.err
