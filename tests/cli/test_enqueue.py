"""`windlass enqueue`: ids, results, and errors that say what to mend."""

import json

import pytest

from tests.cli.terminal import Shell

A = ("-A", "shop")


def test_it_prints_the_id_and_a_worker_runs_the_job(shell: Shell) -> None:
    id = shell.ok("enqueue", *A, "add", '{"a": 4, "b": 5}').out.strip()
    shell.ok("worker", *A, "--until-idle")
    assert shell.ok("jobs", "show", *A, id, "-o", "json").json["result"] == 9


def test_options_reach_the_job(shell: Shell) -> None:
    words = ["--priority", "high", "--queue", "fast", "--tag", "a,b", "--user", "ann", "--delay", "5m"]
    id = shell.ok("enqueue", *A, "add", '{"a": 1}', *words, "--max-attempts", "7").out.strip()
    job = shell.ok("jobs", "show", *A, id, "-o", "json").json
    assert (job["priority"], job["queue"], job["tags"], job["user"]) == (5, "fast", ["a", "b"], "ann")
    assert (job["state"], job["max_attempts"]) == ("delayed", 7)


def test_a_unique_key_is_held_once(shell: Shell) -> None:
    first = shell.ok("enqueue", *A, "add", '{"a": 1}', "--unique", "k", "-o", "json").json
    second = shell.ok("enqueue", *A, "add", '{"a": 2}', "--unique", "k", "-o", "json")
    assert first["created"] is True
    assert second.json == {"id": first["id"], "kind": "add", "created": False}
    assert "unique key 'k'" in second.err


def test_wait_prints_the_result_or_fails_with_the_error(shell: Shell) -> None:
    worker = shell.start("worker", *A)
    try:
        assert shell.ok("enqueue", *A, "greet", '{"name": "Zoë"}', "--wait").out == '{"hello":"Zoë"}\n'
        answer = shell.run("enqueue", *A, "send", '{"to": "nobody"}', "--wait")
        assert answer.code == 1
        assert "error[job-failed]" in answer.err
        assert "nobody is called nobody" in answer.err
        answer = shell.run("enqueue", *A, "wait", '{"file": "never"}', "--wait", "--timeout", "200ms", "-o", "json")
        assert answer.code == 1
        assert json.loads(answer.err)["code"] == "result-timeout"
    finally:
        worker.kill()
        worker.communicate()


MAIL = """
from pydantic import BaseModel
from windlass import Windlass

app = Windlass()


class Sent(BaseModel):
    to: str
    parts: list[str]


@app.job
def post(to: str) -> Sent:
    return Sent(to=to, parts=["a"])
"""


def test_a_result_of_a_type_of_its_own_is_json_from_whatever_folder_it_is_asked_for(shell: Shell) -> None:
    """Of a model, and of a store that the settings file above names by a relative path."""
    (shell.folder / "mail.py").write_text(MAIL)
    (shell.folder / "windlass.toml").write_text('url = "sqlite:///mail.db"\n')
    (shell.folder / "hooks").mkdir()
    below = Shell(shell.folder / "hooks")
    worker = shell.start("worker", "-A", "mail")
    try:
        words = ("enqueue", "-A", "mail", "post", '{"to": "ann"}', "--wait")
        path = {"PYTHONPATH": f"{shell.folder}:{shell.environment.get('PYTHONPATH', '')}"}
        assert below.ok(*words, **path).out == '{"to":"ann","parts":["a"]}\n'
        assert below.ok(*words, "-o", "json", **path).json["result"] == {"to": "ann", "parts": ["a"]}
        assert below.run("jobs", "show", "-A", "mail", "none", **path).code == 4
        assert str(shell.folder / "mail.db") in below.ok("doctor", "-A", "mail", **path).out
        assert not list(below.folder.glob("*.db"))
    finally:
        worker.kill()
        worker.communicate()


def test_without_the_code_a_published_kind_is_known(shell: Shell) -> None:
    shell.ok("worker", *A, "--until-idle")
    shell.ok("enqueue", "--url", "sqlite:///shop.db", "add", '{"a": 1}')
    answer = shell.run("enqueue", "--url", "sqlite:///shop.db", "add", '{"b": 1}')
    assert answer.code == 2
    assert "'a'" in answer.err
    kinds = shell.ok("kinds", "ls", "--url", "sqlite:///shop.db", "-o", "ids").lines
    assert kinds == ["add", "greet", "send", "wait"]
    assert "a, b?" in shell.ok("kinds", "ls", "--url", "sqlite:///shop.db").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ad", '{"a": 1}'], "did you mean 'add'?"),
        (["add", "{a: 1}"], "not JSON"),
        (["add", "[1]"], "are a list"),
        (["add", '{"a": "x"}'], "add: a: Expected `int`"),
        (["add", "{}"], "'a'"),
        (["add", '{"a": 1, "colour": 2}'], "colour"),
        (["add", '{"a": 1}', "--priority", "101"], "-100 to 100"),
        (["add", '{"a": 1}', "--delay", "soon"], "'5m'"),
        (["add", '{"a": 1}', "--queue", "no blanks"], "queue"),
    ],
)
def test_what_cannot_be_right_is_exit_2_and_one_clear_line(shell: Shell, words: list[str], said: str) -> None:
    answer = shell.run("enqueue", *A, *words)
    assert answer.code == 2
    assert said in answer.err
    assert answer.err.startswith("error[")
    assert answer.err.count("\n") == 1
    assert answer.out == ""
    assert shell.run("jobs", "ls", *A, "-o", "ids").out == ""
