"""Queues, workers, figures, the doctor, and how things look on a terminal and without one."""

import re

from tests.cli.terminal import Shell
from tests.waiting import until

A = ("-A", "shop")
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def test_queues_pause_and_resume(shop: Shell) -> None:
    assert shop.ok("queues", "pause", *A, "mail").out == "mail is paused\n"
    rows = {row["name"]: row for row in shop.ok("queues", "ls", *A, "-o", "json").json["items"]}
    assert rows["mail"]["paused"] is True
    assert (rows["mail"]["waiting"], rows["mail"]["failed"], rows["default"]["completed"]) == (2, 1, 3)
    shop.ok("worker", *A, "--until-idle")
    assert len(shop.ok("jobs", "ls", *A, "--state", "waiting", "-o", "ids").lines) == 2
    assert shop.ok("queues", "resume", *A, "mail").out == "mail is open\n"
    shop.ok("worker", *A, "--until-idle")
    assert shop.ok("jobs", "ls", *A, "--state", "waiting", "-o", "ids").out == ""
    assert shop.ok("queues", "ls", *A, "-o", "ids").lines == ["default", "mail"]


def test_a_queue_that_was_never_used_is_exit_4(shop: Shell) -> None:
    answer = shop.run("queues", "pause", *A, "mial")
    assert answer.code == 4
    assert "did you mean mail?" in answer.err
    shop.ok("queues", "pause", *A, "mial", "--create")
    assert "mial" in shop.ok("queues", "ls", *A, "-o", "ids").lines


def test_stats_tell_counts_and_latencies(shop: Shell) -> None:
    figures = shop.ok("stats", *A, "-o", "json").json
    kinds = {row["kind"]: row for row in figures["kinds"]}
    assert (kinds["add"]["complete"], kinds["send"]["fail"]) == (3, 1)
    assert kinds["add"]["took_p50"] > 0
    assert kinds["add"]["waited_p99"] >= kinds["add"]["waited_p50"]
    assert "last 1h" in shop.ok("stats", *A).out


async def test_live_workers_are_listed(shop: Shell) -> None:
    worker = shop.start("worker", *A, "-q", "mail", "-c", "7")
    try:
        (row,) = await until(
            lambda: shop.ok("workers", "ls", *A, "-o", "json").json["items"], "the worker is in the store"
        )
        assert (row["pid"], row["queues"], row["slots"]["async"], row["lease"]) == (worker.pid, ["mail"], 7, 30.0)
        assert str(worker.pid) in shop.ok("workers", "ls", *A).out
    finally:
        worker.terminate()
        worker.communicate(timeout=20)
    assert "no live workers" in shop.ok("workers", "ls", *A).err


async def test_the_doctor_finds_what_is_wrong_and_says_what_mends_it(shop: Shell) -> None:
    def findings(code: int) -> dict[str, str]:
        answer = shop.run("doctor", *A, "-o", "json")
        assert answer.code == code == answer.json["exit"], answer
        assert answer.json["facts"]["engine"] == "sqlite"
        return {finding["code"]: finding["mend"] for finding in answer.json["findings"]}

    assert findings(1)["no-worker"] == "windlass worker -A shop"
    shop.ok("enqueue", *A, "add", '{"a": 1}')
    (told,) = [each for each in shop.run("doctor", *A, "-o", "json").json["findings"] if each["code"] == "no-worker"]
    assert "default (1 waiting)" in told["text"] and "mail (2 waiting)" in told["text"]
    shop.ok("worker", *A, "-q", "default", "--until-idle")
    shop.ok("queues", "pause", *A, "mail")
    assert findings(0)["paused"] == "windlass queues resume -A shop mail"
    shop.ok(*findings(0)["paused"].split()[1:])
    (shop.folder / "poor.py").write_text(
        "from windlass import Windlass\napp = Windlass('sqlite:///shop.db')\n@app.job\nasync def other(): ...\n"
    )
    worker = shop.start("worker", "-A", "poor")
    try:
        await until(lambda: shop.ok("workers", "ls", *A, "-o", "ids").out, "the worker is in the store")
        assert "--kind greet" in findings(1)["unknown-kind"]
    finally:
        worker.terminate()
        worker.communicate(timeout=20)
    shop.ok("worker", *A, "--until-idle")
    assert "no-worker" not in findings(0)


async def test_the_doctor_sees_a_worker_that_hangs(shell: Shell) -> None:
    shell.ok("enqueue", *A, "wait", '{"file": "never"}')
    worker = shell.start("worker", *A, "--lease", "1s")
    try:
        await until(lambda: shell.ok("jobs", "ls", *A, "--state", "active", "-o", "ids").out, "the job runs")
        worker.kill()
        answer = await until(
            lambda: "silent-worker" in (said := shell.run("doctor", *A)).out and said, "the doctor finds it silent"
        )
    finally:
        worker.kill()
        worker.communicate()
    assert answer.code == 1
    assert f"kill {worker.pid}" in answer.out


def test_a_table_fits_80_columns_and_user_text_cannot_steer_the_terminal(shop: Shell) -> None:
    shop.ok("enqueue", *A, "send", '{"to": "\\u001b[2J\\nwide ' + "漢字" * 60 + '"}')
    shop.ok("worker", *A, "--until-idle")
    shown = shop.on_terminal("dead", "ls", *A)
    lines = _ESCAPE.sub("", shown).replace("\r", "").splitlines()
    assert lines[0].split() == ["ID", "DIED", "KIND", "WHY"]
    assert len(lines) == 3
    assert "\x1b[2J" not in shown
    assert "\\x1b[2J" in lines[1]
    assert "\x1b[1m" in shown
    from rich.cells import cell_len

    assert max(map(cell_len, lines)) <= 80


def test_no_color_and_no_terminal_are_plain(shop: Shell) -> None:
    shown = shop.on_terminal("jobs", "ls", *A, NO_COLOR="1")
    assert "\x1b[3" not in shown.replace("\x1b[0m", "").replace("\x1b[1m", "")
    assert "\x1b" in shop.on_terminal("jobs", "ls", *A)
    for words in (("jobs", "ls"), ("queues", "ls"), ("stats",), ("doctor",)):
        assert "\x1b" not in shop.run(*words, *A).out


def test_a_pipe_that_closes_early_is_no_traceback(shop: Shell) -> None:
    listing = shop.start("jobs", "ls", *A, "-o", "json")
    assert listing.stdout and listing.stderr
    listing.stdout.close()
    err = listing.stderr.read()
    listing.stderr.close()
    listing.wait(timeout=20)
    assert "Traceback" not in err


KEY = "reports:every-customer-of-the-north-and-the-south:nightly"

TIMED = f"""
from windlass import Windlass
app = Windlass("sqlite:///shop.db")

@app.schedule("0 3 * * *", key="{KEY}", args=("x",))
@app.job(kind="a_report_with_a_rather_long_name_for_a_kind")
async def report(customer: str) -> None: ...
"""


def test_what_is_to_be_copied_is_never_cut_on_a_terminal(shell: Shell) -> None:
    (shell.folder / "timed.py").write_text(TIMED)
    shell.ok("worker", "-A", "timed", "--until-idle")
    shown = _ESCAPE.sub("", shell.on_terminal("schedules", "ls", "-A", "timed")).replace("\r", "").splitlines()
    assert KEY in shown
    assert max(map(len, shown)) <= 80
    assert "a_report_with_a_rather_long_name_for_a_kind" in shell.on_terminal("kinds", "ls", "-A", "timed")
    assert f"schedule:{KEY}" in shell.on_terminal("audit", "-A", "timed")


def test_acts_are_told_in_words(shop: Shell) -> None:
    shop.ok("dead", "retry", "--all", *A)
    shop.ok("limits", "set", "queue:mail", "-c", "5", "--rate", "100/m", *A)
    shop.ok("queues", "pause", "mail", *A)
    shop.ok("alerts", "set", "late", "queue-age", "--cool-down", "1h", *A)
    told = shop.ok("audit", *A).out
    assert "states failed, 1 job\n" in told
    assert "concurrency 5, rate 100 in 1m, pinned\n" in told
    assert "queue:mail" in told and "  paused\n" in told
    assert "window 5m" in told and "cool down 1h" in told
    assert "{" not in told
    seen = _ESCAPE.sub("", shop.on_terminal("audit", *A)).replace("\r", "")
    assert "\n  states failed, 1 job\n" in seen, "under its row, whole"
    assert "concurrency 5" in shop.ok("limits", "show", "queue:mail", *A).out
