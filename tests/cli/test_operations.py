"""`windlass dead`, `errors`, `audit`, `users` and `jobs history` as commands."""

import json

import pytest

from tests.cli.terminal import Shell
from tests.store.places import a_file_and_a_server

pytestmark = pytest.mark.parametrize("engine", a_file_and_a_server(__name__), indirect=True)

A = ("-A", "shop")


def test_dead_letters(shop: Shell) -> None:
    (item,) = shop.ok("dead", "ls", *A, "-o", "json").json["items"]
    id = item["id"]
    assert (item["can_retry"], item["archived"], item["args"]) == (False, False, {"to": "nobody"})
    shown = shop.ok("dead", "show", *A, id).out
    assert "it fails for good" in shown and "nobody is called nobody" in shown
    stats = shop.ok("dead", "stats", *A, "-o", "json").json
    assert (stats["total"], stats["permanent"], stats["queues"]) == (1, 1, {"mail": 1})
    assert "dead letters" in shop.ok("dead", "stats", *A).out
    group = item["error"]["fingerprint"]
    assert shop.ok("dead", "ls", *A, "--group", group, "-o", "ids").lines == [id]
    assert shop.ok("dead", "ls", *A, "--group", "0" * 16, "-o", "ids").lines == []
    assert shop.ok("dead", "ls", *A, "--archived", "-o", "ids").lines == []
    wrong = shop.run("dead", "retry", *A, id, "--args", '{"to": 5}')
    assert wrong.code != 0 and "to" in wrong.err
    assert shop.ok("dead", "retry", *A, id, "--args", json.dumps({"to": "ada"})).out == "1 job will run again\n"
    assert shop.ok("jobs", "show", *A, id, "-o", "json").json["args"] == {"to": "ada"}


def test_replay_archive_and_purge(shop: Shell) -> None:
    (id,) = shop.ok("dead", "ls", *A, "-o", "ids").lines
    (replay,) = shop.ok("dead", "replay", *A, "--queue", "mail", "--per-second", "100").lines
    shop.ok("worker", *A, "--until-idle")
    assert shop.ok("jobs", "show", *A, replay, "-o", "json").json["progress_note"] == "1 requeued"
    assert len(shop.ok("jobs", "show", *A, id, "-o", "json").json["attempts"]) == 2, "it ran again, and failed again"
    assert "is archived" in shop.ok("dead", "archive", *A, "--older-than", "0s").out
    assert shop.ok("dead", "ls", *A, "--archived", "-o", "ids").lines == [id]
    assert shop.ok("dead", "purge", *A, "--older-than", "0s", "--yes").out == "1 jobs removed\n"
    assert shop.ok("dead", "ls", *A, "-o", "ids").lines == []


def test_error_groups(shop: Shell) -> None:
    (group,) = shop.ok("errors", "ls", *A, "-o", "json").json["items"]
    assert (group["type"], group["letters"], group["mark"]) == ("Fail", 1, "open")
    name = group["fingerprint"]
    assert "nobody is called nobody" in shop.ok("errors", "show", *A, name).out
    assert shop.ok("errors", "ignore", *A, name, "-o", "ids").lines == [name]
    assert shop.ok("errors", "ls", *A, "--mark", "open", "-o", "ids").lines == []
    assert shop.ok("errors", "reopen", *A, name, "-o", "json").json["items"][0]["mark"] == "open"
    assert "1 will run again" in shop.ok("errors", "retry", *A, name).out
    assert shop.run("errors", "show", *A, "nonsense").code == 4
    acts = shop.ok("audit", *A, "--target", "error:*", "-o", "json").json["items"]
    assert [act["action"] for act in acts] == ["reopen", "ignore"]
    assert all(act["actor"].startswith("cli") for act in acts)


def test_history_and_users(shop: Shell) -> None:
    (id,) = shop.ok("dead", "ls", *A, "-o", "ids").lines
    told = [entry["what"] for entry in shop.ok("jobs", "history", *A, id, "-o", "json").json]
    assert told == ["created", "started", "failed"]
    assert "nobody is called" in shop.ok("jobs", "history", *A, id).out
    (user,) = shop.ok("users", *A, "-o", "json").json["items"]
    assert (user["user"], user["completed"]) == ("ann", 3)
    assert "ann" in shop.ok("users", *A).out


def test_the_history_of_a_job_that_retention_deleted(shop: Shell) -> None:
    (id,) = shop.ok("dead", "ls", *A, "-o", "ids").lines
    shop.ok("prune", *A, "--failed", "0s")
    told = [entry["what"] for entry in shop.ok("jobs", "history", *A, id, "-o", "json").json]
    assert told == ["created", "started", "failed", "deleted"]
    assert "windlass jobs history" in shop.run("jobs", "show", *A, id).err
    shop.ok("prune", *A, "--history", "0s")
    assert shop.run("jobs", "history", *A, id).code == 4


def test_compact(shop: Shell) -> None:
    found = shop.ok("compact", *A, "-o", "json").json
    assert found["after"] > 0
    assert found["after"] <= found["before"] or not found["compacted"]
    assert ("nothing to do" in shop.ok("compact", *A).out) is not found["compacted"]
