"""How commands end: exit codes, errors as text and as data, the app named by -A, interruption."""

import json
import signal
import socket

import pytest
from typer.testing import CliRunner

from tests.cli.terminal import Shell
from tests.waiting import until
from windlass.cli.complaint import StoreNotFound, complain
from windlass.cli.root import app
from windlass.errors import InvalidOption, JobNotFound, SettingsError, StoreFull, StoreReadOnly, StoreUnavailable


def test_a_store_that_cannot_be_reached_is_exit_5(shell: Shell) -> None:
    with socket.socket() as taken:  # bound and not listening: refused at once, and nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{taken.getsockname()[1]}/0"
        answer = shell.run("jobs", "ls", "--url", url)
        assert answer.code == 5
        assert answer.err.startswith("error[store-unavailable]: ")
        answer = shell.run("stats", "--url", url, "-o", "json")
        assert answer.code == 5
        assert json.loads(answer.err)["code"] == "store-unavailable"
        assert shell.run("doctor", "--url", url).code == 5
        assert shell.run("health", "--url", url).code == 5
    assert shell.run("enqueue", "--url", "sqlite:////no/such/folder/x.db", "add", "{}").code == 5


LOOKS = (
    *(
        "jobs ls",
        "jobs show 1",
        "jobs explain 1",
        "jobs retry 1",
        "jobs history 1",
        "dead ls",
        "dead stats",
        "errors ls",
    ),
    *("workflows ls", "queues ls", "queues pause mail", "limits ls", "effects ls", "breakers ls", "schedules ls"),
    *(
        "alerts ls",
        "alerts rules",
        "webhooks ls",
        "workers ls",
        "kinds ls",
        "stats",
        "metrics",
        "users",
        "audit",
        "health",
    ),
    *("keys ls", "encryption status", "prune"),
)


def test_a_command_that_looks_at_a_store_makes_none(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shell.folder)
    for words in LOOKS:
        error = CliRunner().invoke(app, [*words.split(), "--url", "sqlite:///typo.db"]).exception
        assert isinstance(error, StoreNotFound), (words, error)
    answer = shell.run("jobs", "ls", "--url", "sqlite:///typo.db")
    assert (answer.code, answer.out) == (4, "")
    assert answer.err.startswith("error[store-not-found]: there is no store at sqlite:///typo.db; name yours by --url")
    answer = shell.run("doctor", "--url", "sqlite:///typo.db", "-o", "json")
    assert (answer.code, [each["code"] for each in answer.json["findings"]]) == (1, ["no-store"])
    assert not list(shell.folder.glob("typo.db*"))
    assert "add" in shell.ok("kinds", "ls", "-A", "shop", "--url", "sqlite:///typo.db", "-o", "ids").lines
    assert not list(shell.folder.glob("typo.db*")), "kinds of code need no store"
    assert "in the namespace 'other'" in shell.run("stats", "-A", "shop", "--namespace", "other").err


@pytest.mark.parametrize(
    "words",
    ["limits set queue:mail -c 3", "queues pause mail --create", "alerts standard", "keys create x --role admin"],
)
def test_a_command_that_sets_something_up_may_be_the_first(shell: Shell, words: str) -> None:
    shell.ok(*words.split(), "--url", "sqlite:///fresh.db")
    assert (shell.folder / "fresh.db").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["jobs", "ls", "--url", "oracle://x"], "sqlite:///jobs.db"),
        (["jobs", "ls", "--state", "sleeping"], "use blocked"),
        (["jobs", "ls", "--state", "complete"], "did you mean completed?"),
        (["jobs", "ls", "--limit", "0"], "--limit"),
        (["jobs", "ls", "-o", "xml"], "-o"),
        (["worker", "-A", "shop", "-p", "two"], "2:8"),
        (["worker", "-A", "shop", "--lease", "1ms"], "lease"),
        (["worker"], "--app"),
        (["kinds", "ls", "-A", "nowhere"], "nowhere.py"),
        (["kinds", "ls", "-A", "shop:ap"], "it has app"),
        (["kinds", "ls", "-A", "broken"], "broken.py, line 1"),
        (["stats", "--last", "long"], "'5m'"),
    ],
)
def test_usage_is_exit_2_and_says_what_to_write(shell: Shell, words: list[str], said: str) -> None:
    (shell.folder / "broken.py").write_text("1 / 0\n")
    answer = shell.run(*words)
    assert answer.code == 2, answer
    assert said in answer.err
    assert "Traceback" not in answer.err


def test_the_app_goes_before_the_environment_and_a_typed_url_before_the_app(shell: Shell) -> None:
    shell.ok("enqueue", "-A", "shop", "add", '{"a": 1}', WINDLASS_URL="sqlite:///other.db")
    assert len(shell.ok("jobs", "ls", "--url", "sqlite:///shop.db", "-o", "ids").lines) == 1
    shell.ok("enqueue", "-A", "shop", "--url", "sqlite:///third.db", "add", '{"a": 1}')
    assert len(shell.ok("jobs", "ls", "-o", "ids", WINDLASS_URL="sqlite:///third.db").lines) == 1
    assert not (shell.folder / "other.db").exists()


def test_a_module_that_starts_its_program_when_imported_is_told_what_to_do(shell: Shell) -> None:
    (shell.folder / "rash.py").write_text("import asyncio\nfrom shop import app\nasyncio.run(asyncio.sleep(0))\n")
    answer = shell.run("jobs", "ls", "-A", "rash")
    assert answer.code == 2
    assert "put that under `if __name__ == '__main__':`" in answer.err


def test_namespaces_are_apart(shell: Shell) -> None:
    shell.ok("enqueue", "-A", "shop", "--namespace", "one", "add", '{"a": 1}')
    assert shell.run("jobs", "ls", "-A", "shop", "-o", "ids").code == 4
    assert len(shell.ok("jobs", "ls", "-A", "shop", "-o", "ids", "--namespace", "one").lines) == 1


def test_the_migration_stands_where_this_version_is(shell: Shell) -> None:
    before = shell.run("migrate", "status", "-A", "shop")
    assert (before.code, "empty" in before.out) == (1, True)
    assert not (shell.folder / "shop.db").exists(), "looking makes nothing"
    assert "done: 0001_start" in shell.ok("migrate", "up", "-A", "shop").out
    status = shell.ok("migrate", "status", "-A", "shop", "-o", "json").json
    assert status["state"] == "current"
    assert status["found"] == status["known"]
    assert "nothing to do" in shell.ok("migrate", "up", "-A", "shop").out


def test_prune_deletes_what_is_old(shop: Shell) -> None:
    assert shop.ok("prune", "-A", "shop", "-o", "json").json == {"deleted": 0}
    assert shop.ok("prune", "-A", "shop", "--completed", "0s", "--failed", "ever").out == "3 jobs pruned\n"
    assert len(shop.ok("dead", "ls", "-A", "shop", "-o", "ids").lines) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreReadOnly("r"), 3),
        (StoreUnavailable("u"), 5),
        (StoreFull("f"), 1),
        (JobNotFound("n"), 4),
        (InvalidOption("o"), 2),
        (SettingsError("s"), 2),
        (ValueError("a fault of a program"), 1),
    ],
)
def test_every_error_has_its_exit_code(error: Exception, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert complain(error) == code
    assert str(error) in capsys.readouterr().err


async def test_a_worker_ends_gracefully_at_sigterm(shell: Shell) -> None:
    shell.ok("enqueue", "-A", "shop", "wait", '{"file": "go"}')
    worker = shell.start("worker", "-A", "shop", "--lease", "5s", "-q", "slow")
    try:
        await until(lambda: shell.ok("jobs", "ls", "-A", "shop", "--state", "active", "-o", "ids").out, "the job runs")
        worker.send_signal(signal.SIGTERM)
        (shell.folder / "go").touch()
        out, err = worker.communicate(timeout=20)
    finally:
        worker.kill()
    assert worker.returncode == 0, err
    assert "queue slow; stop with" in err
    assert out == ""
    assert shell.ok("jobs", "ls", "-A", "shop", "-o", "json").json["items"][0]["result"] == "it came"


async def test_an_interrupted_wait_is_exit_130(shell: Shell) -> None:
    waiting = shell.start("enqueue", "-A", "shop", "add", '{"a": 1}', "--wait")
    try:
        await until(lambda: shell.run("jobs", "ls", "-A", "shop", "-o", "ids").out, "the job is there")
        waiting.send_signal(signal.SIGINT)
        _, err = waiting.communicate(timeout=20)
    finally:
        waiting.kill()
    assert waiting.returncode == 130, err
    assert "no live worker serves queue default; start one: windlass worker -A shop\n" in err
    assert "Traceback" not in err


def test_several_worker_processes_until_idle(shop: Shell) -> None:
    shop.ok("worker", "-A", "shop", "--until-idle", "-p", "2")
    assert shop.ok("jobs", "ls", "-A", "shop", "--state", "waiting", "-o", "ids").out == ""


def test_a_worker_tells_of_the_jobs_that_failed(shell: Shell) -> None:
    id = shell.ok("enqueue", "-A", "shop", "send", '{"to": "bob"}').out.strip()
    told = shell.ok("worker", "-A", "shop", "--until-idle").err
    assert f" WARNING send {id}, attempt 1 of 3 failed for good: Fail: nobody is called bob\n" in told
    shell.ok("enqueue", "-A", "shop", "send", '{"to": "bob"}')
    assert "send" not in shell.ok("worker", "-A", "shop", "--until-idle", "--log-level", "error").err
