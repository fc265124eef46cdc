"""The filter language: what it selects in the store, what it tests, what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import Shell
from windlass import InvalidOption
from windlass.operate.search import read_search
from windlass.values.query import Where
from windlass.values.states import State

NOW = 1_900_000_000_000_000
HOUR = 3_600_000_000


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", Where()),
        ("state:failed", Where(states=(State.FAILED,))),
        ("state:failed,retrying kind:send_*", Where(states=(State.FAILED, State.RETRYING), kinds=("send_*",))),
        ('queue:"a/b" user:42', Where(queues=("a/b",), user="42")),
        ("tag:x workflow:w unique:k", Where(tags=("x",), workflow="w", unique="k")),
        ("age:>1h", Where(created_to=NOW - HOUR)),
        ("age:<=1h", Where(created_from=NOW - HOUR)),
        ("age:<1h30m", Where(created_from=NOW - HOUR * 3 // 2 + 1)),
        ("created:>=2030-01-01", Where(created_from=1_893_456_000_000_000)),
        ("created:<2030-01-01T01:00+01:00", Where(created_to=1_893_456_000_000_000)),
        ("finished:<1d", Where(finished_from=NOW - 24 * HOUR + 1)),
        ("id:a,b", Where(ids=("a", "b"))),
        ('"state:failed"', None),
        ("-state:failed", None),
        ("kind:*_mail", None),
        ("error:Timeout", None),
        ("priority:>5", None),
        ('args.to:"a@b c"', None),
        ("boom", None),
    ],
)
def test_terms(text: str, where: Where | None) -> None:
    found = read_search(text, NOW)
    assert found.where == (Where() if where is None else where)
    assert bool(found.tests) == (where is None)


def test_a_second_term_of_a_field_narrows() -> None:
    found = read_search("state:failed,waiting state:waiting", NOW)
    assert found.where.states == (State.FAILED, State.WAITING)
    assert len(found.tests) == 1
    found = read_search("user:a", NOW, Where(user="b"))
    assert found.where.user == "b"
    assert len(found.tests) == 1


@pytest.mark.parametrize(
    "text",
    [
        "state:nope", "nope:1", "age:1h", "age:>yesterday", "created:>soon", "created:>99999-01-01", "priority:x", 'kind:"open',
        "state:", "user:", "kind:,", "x\x00y", "\ud800", "a" * 2_001, "a " * 51,
    ],
    ids=ascii,
)  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        read_search(text, NOW)
    assert refused.value.field == "q"


def test_long_and_odd_texts_are_read_at_once() -> None:
    for text in ('"' * 1_999, "\\" * 2_000, "-" * 2_000, "a:" * 1_000, '"\\' * 999, "a" + "(a+)+$" * 300, '""' * 999):
        try:
            read_search(text, NOW)
        except InvalidOption:
            continue


def test_on_the_command_line(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    for n in range(3):
        shell.ok("enqueue", "-A", "shop", "add", json.dumps({"a": n}))

    def found(*words: str) -> list[int]:
        return [job["args"]["a"] for job in shop("jobs", "ls", "-A", "shop", "-o", "json", *words)["items"]]

    def shop(*words: str) -> Any:
        return shell.ok(*words).json

    assert found("--query", "kind:add args.a:1,2") == [2, 1]
    assert found("--query", "kind:add -args.a:1", "--limit", "1") == [2]
    page = shop("jobs", "ls", "-A", "shop", "-o", "json", "--query", "-args.a:1", "--limit", "1")
    assert found("--query", "-args.a:1", "--cursor", page["next"]) == [0]
    assert found("--query", "age:>1h") == []
    refused = shell.run("jobs", "ls", "-A", "shop", "--query", "state:nope")
    assert (refused.code, "state:nope" in refused.err) == (2, True)
