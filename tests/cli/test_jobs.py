"""`windlass jobs` and `windlass dead`: forms, filters, pages, stdin, and exit codes."""

import json

import pytest

from tests.cli.terminal import Shell
from tests.store.places import a_file_and_a_server

pytestmark = pytest.mark.parametrize("engine", a_file_and_a_server(__name__), indirect=True)

A = ("-A", "shop")


def test_listing_in_three_forms(shop: Shell) -> None:
    listed = shop.ok("jobs", "ls", *A, "-o", "json").json
    assert listed["next"] is None
    assert len(listed["items"]) == 7
    ids = shop.ok("jobs", "ls", *A, "-o", "ids").lines
    assert ids == [job["id"] for job in listed["items"]] == sorted(ids, reverse=True)
    head, *rows = shop.ok("jobs", "ls", *A).lines
    assert head.split() == ["ID", "STATE", "KIND", "QUEUE", "TRY", "AGE"]
    assert [row.split()[0] for row in rows] == ids


def test_filters_narrow_and_combine(shop: Shell) -> None:
    def kinds(*filters: str) -> list[str]:
        return [job["kind"] for job in shop.ok("jobs", "ls", *A, "-o", "json", *filters).json["items"]]

    assert kinds("--state", "completed") == ["add"] * 3
    assert kinds("--state", "failed,delayed") == ["greet", "send"]
    assert kinds("--queue", "mail", "--state", "waiting") == ["greet", "greet"]
    assert kinds("--kind", "s*") == ["send"]
    assert kinds("--user", "ann", "--tag", "n1") == ["add"]
    assert kinds("--user", "bob") == []
    assert shop.ok("jobs", "ls", "-o", "ids", WINDLASS_APP="shop", WINDLASS_JOBS_LS_STATE="failed").lines != []


def test_pages_go_on_where_they_ended(shop: Shell) -> None:
    whole = shop.ok("jobs", "ls", *A, "-o", "ids").lines
    first = shop.ok("jobs", "ls", *A, "-o", "json", "--limit", "3").json
    second = shop.ok("jobs", "ls", *A, "-o", "json", "--limit", "10", "--cursor", first["next"]).json
    assert [job["id"] for job in first["items"] + second["items"]] == whole
    assert second["next"] is None
    cut = shop.ok("jobs", "ls", *A, "--limit", "3")
    assert f"--cursor {first['next']}" in cut.err


def test_json_is_never_cut(shop: Shell) -> None:
    text = "long and wide " * 2_000
    id = shop.ok("enqueue", *A, "greet", "-", stdin=json.dumps({"name": text})).out.strip()
    assert shop.ok("jobs", "show", *A, id, "-o", "json").json["args"] == {"name": text}
    assert shop.ok("jobs", "ls", *A, "-o", "json", "--limit", "1").json["items"][0]["args"] == {"name": text}


def test_show_tells_everything(shop: Shell) -> None:
    (id,) = shop.ok("dead", "ls", *A, "-o", "ids").lines
    job = shop.ok("jobs", "show", *A, id, "-o", "json").json
    assert job["state"] == "failed"
    assert job["error"]["message"] == "nobody is called nobody"
    assert [line["text"] for line in job["log"]] == ["to nobody"]
    shown = shop.ok("jobs", "show", *A, id).out
    assert "nobody is called nobody" in shown
    assert "to nobody" in shown
    assert "1 of 3" in shown
    assert "nobody is called nobody" in shop.ok("dead", "ls", *A).out


def test_retry_cancel_and_remove_by_id_from_stdin_and_by_filter(shop: Shell) -> None:
    dead = shop.ok("dead", "ls", *A, "-o", "ids").out
    assert shop.ok("dead", "retry", *A, "-", stdin=dead).out == "1 job will run again\n"
    assert shop.run("dead", "ls", *A, "-o", "ids").out == ""
    waiting = shop.ok("jobs", "ls", *A, "--kind", "greet", "--state", "waiting", "-o", "ids").lines
    assert shop.ok("jobs", "cancel", *A, waiting[0], "--reason", "not now").out == "1 job cancelled\n"
    job = shop.ok("jobs", "show", *A, waiting[0], "-o", "json").json
    assert (job["state"], job["reason"]) == ("cancelled", "not now")
    assert job["audit"][0]["action"] == "cancel"
    assert job["audit"][0]["actor"].startswith("cli")
    removed = shop.ok("jobs", "rm", *A, "--state", "completed", "--yes", "-o", "json").json
    assert len(removed["done"]) == 3
    assert shop.ok("jobs", "ls", *A, "--state", "completed", "-o", "ids").out == ""


def test_a_filter_that_destroys_asks_first(shop: Shell) -> None:
    answer = shop.run("jobs", "rm", *A, "--state", "completed")
    assert answer.code == 2
    assert "--yes" in answer.err
    assert len(shop.ok("jobs", "ls", *A, "--state", "completed", "-o", "ids").lines) == 3
    assert shop.run("jobs", "cancel", *A).code == 2
    assert shop.run("dead", "purge", *A).code == 2


def test_what_is_not_there_is_exit_4_and_what_cannot_be_done_is_1(shop: Shell) -> None:
    assert shop.run("jobs", "show", *A, "nope").code == 4
    answer = shop.run("jobs", "show", *A, "nope", "-o", "json")
    assert json.loads(answer.err) == {"code": "job-not-found", "message": "no such job", "ids": ["nope"], "exit": 4}
    assert shop.run("jobs", "cancel", *A, "nope").code == 4
    done = shop.ok("jobs", "ls", *A, "--state", "completed", "-o", "ids").lines[0]
    answer = shop.run("jobs", "cancel", *A, done)
    assert answer.code == 1
    assert done in answer.err
    answer = shop.run("dead", "purge", *A, done)
    assert answer.code == 1
    assert "is not failed" in answer.err


def test_no_ids_on_stdin_is_nothing_to_do(shop: Shell) -> None:
    assert shop.ok("jobs", "cancel", *A, "-", stdin="").out == "0 jobs cancelled\n"
    assert len(shop.ok("jobs", "ls", *A, "-o", "ids").lines) == 7


def test_an_empty_value_never_means_every_job(shop: Shell) -> None:
    acts = (["jobs", "rm", "--yes"], ["jobs", "retry"], ["dead", "purge", "--yes"], ["jobs", "cancel"])
    tries = [(words, "--kind") for words in acts] + [(acts[-1], option) for option in ("--queue", "--tag", "--user")]
    for words, option in tries:
        others = () if option == "--queue" else ("--queue", "mail")
        answer = shop.run(*words, *A, *others, option, "")
        assert answer.code == 2, answer
        assert f"{option} is empty" in answer.err
    assert shop.run("jobs", "cancel", *A, "").code == 4
    assert shop.ok("dead", "purge", *A, "-", stdin="\n").out.startswith("0 jobs")
    listed = shop.ok("jobs", "ls", *A, "-o", "json").json["items"]
    assert sorted(job["state"] for job in listed) == ["completed"] * 3 + ["delayed", "failed", "waiting", "waiting"]
