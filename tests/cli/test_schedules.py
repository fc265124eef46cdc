"""`windlass schedules`: forms, acts, previews, exit codes."""

import json
from pathlib import Path

import pytest

from tests.cli.terminal import Shell

A = ("-A", "plan")
PLAN = """
from windlass import Windlass

app = Windlass("sqlite:///plan.db", namespace="windlass", maintenance=False)


@app.schedule("30 2 * * *", timezone="Europe/Berlin", key="night", args=("all",), jitter="5m")
@app.schedule(every="1d", key="day", args=("few",), overlap="queue")
@app.job
def report(which: str) -> str:
    return which
"""


@pytest.fixture
def plan(shell: Shell) -> Shell:
    """A store to which a worker has written the app's schedules."""
    Path(shell.folder / "plan.py").write_text(PLAN)
    shell.ok("worker", *A, "--until-idle")
    return shell


def test_listing_in_three_forms(plan: Shell) -> None:
    assert plan.ok("schedules", "ls", *A, "-o", "ids").lines == ["day", "night"]
    day, night = plan.ok("schedules", "ls", *A, "-o", "json").json["items"]
    assert (night["when"], night["timezone"], night["args"], night["jitter"]) == (
        *("30 2 * * *", "Europe/Berlin"),
        *({"which": "all"}, 300.0),
    )
    assert (day["when"], day["overlap"], day["owner"], day["paused"]) == ("every 1d", "queue", "plan", False)
    head, *rows = plan.ok("schedules", "ls", *A).lines
    assert head.split() == ["KEY", "WHEN", "ZONE", "KIND", "NEXT", "LAST", "FIRED"]
    assert [row.split()[0] for row in rows] == ["day", "night"]
    plan.ok("migrate", "up", "--url", "sqlite:///other.db")
    assert "no schedules" in plan.ok("schedules", "ls", "--url", "sqlite:///other.db").err


def test_pause_and_resume(plan: Shell) -> None:
    assert plan.ok("schedules", "pause", *A, "day", "night").lines == ["day is paused", "night is paused"]
    assert plan.ok("schedules", "ls", *A, "-o", "json").json["items"][0]["paused"]
    assert plan.ok("schedules", "resume", *A, "day").out.startswith("day fires in ")
    assert plan.run("schedules", "pause", *A, "day", "noon").code == 4
    assert not plan.ok("schedules", "ls", *A, "-o", "json").json["items"][0]["paused"], "all or nothing"


def test_trigger_show_and_remove(plan: Shell) -> None:
    id = plan.ok("schedules", "trigger", *A, "night").out.strip()
    assert plan.ok("jobs", "ls", *A, "--tag", "schedule:night", "-o", "ids").lines == [id]
    plan.ok("worker", *A, "--until-idle")
    found = plan.ok("schedules", "show", *A, "night", "-o", "json").json
    assert (found["key"], found["jobs"][0]["result"], len(found["coming"])) == ("night", "all", 3)
    shown = plan.ok("schedules", "show", *A, "night").out
    assert "30 2 * * * (Europe/Berlin)" in shown
    assert id in shown
    assert plan.ok("schedules", "rm", *A, "night").lines == ["night removed"]
    assert plan.run("schedules", "show", *A, "night").code == 4
    assert plan.run("schedules", "rm", *A, "night").code == 4


def test_preview_of_a_schedule_and_of_an_expression(plan: Shell) -> None:
    times = plan.ok("schedules", "preview", *A, "night", "-n", "3", "-o", "json").json["items"]
    assert [at["at"][11:16] for at in times] == ["02:30"] * 3
    yearly = plan.ok("schedules", "preview", "--cron", "30 2 25-31 3 0", "--timezone", "Europe/Berlin", "-n", "60")
    assert "gap" in yearly.out
    assert len(yearly.lines) == 61
    answer = plan.run("schedules", "preview", "--cron", "61 * * * *", "-o", "json")
    assert (answer.code, json.loads(answer.err)["code"]) == (2, "schedule")
    assert plan.run("schedules", "preview", "--cron", "@daily", "--timezone", "Mars/Olympus").code == 2
    assert plan.run("schedules", "preview", *A).code == 2
    assert plan.run("schedules", "preview", *A, "night", "--cron", "@daily").code == 2


def test_removed_declarations_disappear_when_the_next_worker_starts(plan: Shell) -> None:
    text = PLAN.replace('@app.schedule(every="1d", key="day", args=("few",), overlap="queue")\n', "")
    Path(plan.folder / "plan.py").write_text(text)
    plan.ok("worker", *A, "--until-idle")
    assert plan.ok("schedules", "ls", *A, "-o", "ids").lines == ["night"]
