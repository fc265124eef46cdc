"""`windlass metrics` and `windlass health`: exact, complete as JSON, and within 80 columns."""

import re
from pathlib import Path

import pytest

from tests.cli.conftest import engine, shell, shop, stocked
from tests.cli.terminal import Shell
from tests.store.places import a_file_and_a_server

__all__ = ["engine", "shell", "shop", "stocked"]

A = ("-A", "shop")
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def test_metrics_of_a_day(shop: Shell) -> None:
    found = shop.ok("metrics", *A, "-o", "json").json
    kinds = {row["kind"]: row for row in found["kinds"]}
    assert (kinds["add"]["completed"], kinds["send"]["failed"]) == (3, 1)
    assert kinds["add"]["run"]["p99"] >= kinds["add"]["run"]["median"] > 0
    assert found["total"]["success_rate"] == 0.75
    text = shop.ok("metrics", *A, "--by", "pair", "--last", "1h").out
    assert "default/add" in text and "mail/send" in text and "75.0%" in text
    only = shop.ok("metrics", *A, "--queue", "mail", "-o", "json").json
    assert [row["kind"] for row in only["kinds"]] == ["send"]


def test_metrics_of_a_time(shop: Shell) -> None:
    found = shop.ok("metrics", *A, "--from", "2026-01-01T00:00", "--to", "2026-01-02T00:00Z", "-o", "json").json
    assert (found["since"], len(found["series"])) == ("2026-01-01T00:00:00Z", 24)
    answer = shop.run("metrics", *A, "--from", "noon")
    assert (answer.code, "2026-03-01T12:00Z" in answer.err) == (2, True)


def test_metrics_for_prometheus(shop: Shell) -> None:
    text = shop.ok("metrics", *A, "--prometheus").out
    assert 'windlass_attempts_total{kind="add",outcome="completed",queue="default"} 3.0' in text


def test_health_without_workers(shop: Shell) -> None:
    answer = shop.run("health", *A)
    assert answer.code == 0
    assert answer.lines[0] == "degraded"
    assert "no-worker" in answer.out
    assert "windlass worker -A shop -q mail" in answer.out
    assert shop.run("health", *A, "--strict").code == 1
    found = shop.ok("health", *A, "-o", "json").json
    assert {queue["queue"]: queue["waiting"] for queue in found["queues"]} == {"default": 0, "mail": 2}
    one = shop.ok("health", *A, "mail", "-o", "json").json
    assert (one["queue"], one["status"], one["failed"]) == ("mail", "degraded", 1)
    assert "2, the oldest for" in shop.ok("health", *A, "mail").out


def test_health_of_a_paused_queue_names_the_command(shop: Shell) -> None:
    shop.ok("queues", "pause", *A, "mail")
    text = shop.ok("health", *A).out
    assert "note[paused]: mail: paused for" in text
    assert "windlass queues resume -A shop mail" in text
    shop.ok("queues", "resume", "-A", "shop", "mail")


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    answer = shell.run("health", "--url", "redis://127.0.0.1:1/0", "-o", "json")
    assert (answer.code, answer.json["status"]) == (5, "error")
    assert shell.run("health", "--url", "redis://127.0.0.1:1/0", "mail").code == 5


@pytest.mark.parametrize("words", [("metrics",), ("health",), ("health", "mail")])
def test_on_a_terminal_of_80_columns(shop: Shell, words: tuple[str, ...]) -> None:
    text = _ESCAPE.sub("", shop.on_terminal(*words, *A))
    assert text.strip()
    assert all(len(line) <= 80 for line in text.splitlines()), text


@pytest.mark.parametrize("engine", a_file_and_a_server(__name__), indirect=True)
def test_on_each_engine(shop: Shell) -> None:
    assert shop.ok("metrics", *A, "-o", "json").json["total"]["completed"] == 3
    assert shop.ok("health", *A, "-o", "json").json["status"] == "degraded"
