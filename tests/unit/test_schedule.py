"""What is to be done when a schedule is due: on time, late, missed, dealt with already; jitter; previews."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from windlass.errors import InvalidOption, ScheduleError
from windlass.schedules.timing import make_rule, read_key
from windlass.schedules.view import describe
from windlass.values.clock import SECOND, instant, moment
from windlass.values.job import Edge, NewJob
from windlass.values.queue import check_name
from windlass.values.schedule import (
    LATE,
    Rule,
    Step,
    due_after,
    jitter,
    job_for,
    plan,
    preview,
    read_rule,
    write_rule,
)

JOB: NewJob[Any] = NewJob(id="", kind="report", queue="reports", args='{"a":1}', tags=("x",))
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
NOON = instant(datetime(2026, 5, 6, 12, tzinfo=UTC))


def rule(**options: Any) -> Rule:
    return make_rule(JOB, options or {"cron": "@hourly"})


def test_a_rule_survives_the_store() -> None:
    one = rule(cron="0 6 * * *", timezone="Europe/Berlin", overlap="queue", missed="run_all", catch_up=7, jitter="5m")
    assert read_rule(write_rule(one)) == one
    with pytest.raises(ScheduleError):
        read_rule('{"cron": 7}')


def test_on_time() -> None:
    assert plan(rule(), NOON, NOON - HOUR, NOON + 20) == [Step(NOON, NOON + HOUR, fires=True)]
    assert plan(rule(), NOON, None, NOON) == [Step(NOON, NOON + HOUR, fires=True)]


@pytest.mark.parametrize("missed", ["run_once", "skip", "run_all"])
def test_a_little_late_is_not_missed(missed: str) -> None:
    overlap = "queue" if missed == "run_all" else "skip"
    one = rule(cron="@hourly", missed=missed, overlap=overlap)
    assert plan(one, NOON, None, NOON + LATE) == [Step(NOON, NOON + HOUR, fires=True)]


def test_run_once_makes_one_job_of_many_missed_times() -> None:
    assert plan(rule(), NOON, None, NOON + 5 * HOUR + MINUTE) == [
        Step(NOON, NOON + 5 * HOUR, fires=False),
        Step(NOON + 5 * HOUR, NOON + 6 * HOUR, fires=True),
    ]
    assert plan(rule(), NOON, None, NOON + 30 * MINUTE) == [Step(NOON, NOON + HOUR, fires=True)]


def test_skip_leaves_missed_times_out() -> None:
    one = rule(cron="@hourly", missed="skip")
    assert plan(one, NOON, None, NOON + LATE + 1) == [Step(NOON, NOON + HOUR, fires=False)]
    assert plan(one, NOON, None, NOON + 5 * HOUR + 2 * MINUTE) == [Step(NOON, NOON + 6 * HOUR, fires=False)]
    assert plan(one, NOON, None, NOON + 5 * HOUR + SECOND) == [
        Step(NOON, NOON + 5 * HOUR, fires=False),
        Step(NOON + 5 * HOUR, NOON + 6 * HOUR, fires=True),
    ]


def test_run_all_makes_up_for_the_newest_missed_times() -> None:
    one = rule(cron="@hourly", missed="run_all", overlap="queue", catch_up=3)
    times = [NOON + n * HOUR for n in range(8)]
    assert plan(one, NOON, None, times[2] + MINUTE) == [
        Step(at, later, fires=True) for at, later in pairwise(times[:4])
    ]
    assert plan(one, NOON, None, times[6] + MINUTE) == [
        Step(NOON, times[4], fires=False),
        *(Step(at, later, fires=True) for at, later in pairwise(times[4:8])),
    ]


def test_a_plan_is_a_chain_that_ends_in_the_future() -> None:
    """Whatever was missed, each step begins where the one before ended, and the last one ends after now."""
    for options in ({}, {"missed": "skip"}, {"missed": "run_all", "overlap": "queue", "catch_up": 5}):
        for late in (0, 1, 59, 60, 61, 3_600, 86_400, 400 * 86_400):
            for when in ({"cron": "*/7 * * * *"}, {"every": "11m"}, {"cron": "0 3 29 2 *"}):
                one = rule(**when, **options)
                due = due_after(one, NOON)
                assert due is not None
                now = due + late * SECOND
                steps = plan(one, due, NOON, now)
                assert steps[0].due == due
                assert all(before.next_due == after.due for before, after in pairwise(steps))
                last = steps[-1].next_due
                assert last is not None
                assert last > now
                assert sum(step.fires for step in steps) <= 5


def test_a_time_that_was_dealt_with_does_not_fire_again() -> None:
    assert plan(rule(), NOON, NOON, NOON + 1) == [Step(NOON, NOON + HOUR, fires=False)]
    assert plan(rule(), NOON, NOON + 2 * HOUR, NOON + 3 * HOUR) == [Step(NOON, NOON + 3 * HOUR, fires=False)]


def test_once() -> None:
    one = rule(at=moment(NOON))
    assert due_after(one, NOON - 1) == NOON
    assert due_after(one, NOON) is None
    assert plan(one, NOON, None, NOON + HOUR) == [Step(NOON, None, fires=True)]
    assert plan(rule(at=moment(NOON), missed="skip"), NOON, None, NOON + HOUR) == [Step(NOON, None, fires=False)]


def test_intervals_are_counted_from_1970_or_the_start() -> None:
    assert due_after(rule(every="5m"), NOON + 1) == NOON + 5 * MINUTE
    start = moment(NOON + 7 * SECOND)
    assert due_after(rule(every="1w", start=start), NOON) == NOON + 7 * SECOND
    assert due_after(rule(every="1w", start=start), NOON + 7 * SECOND) == NOON + 7 * SECOND + 7 * 24 * HOUR
    assert due_after(rule(every="1m", start=start), 0) == NOON + 7 * SECOND, "never before its start"


def test_a_year_of_missed_seconds_is_planned_at_once() -> None:
    one = rule(cron="* * * * * *", missed="run_all", overlap="queue", catch_up=1_000)
    now = NOON + 365 * 24 * HOUR
    steps = plan(one, NOON, None, now)
    assert sum(step.fires for step in steps) == 1_000
    assert steps[-1] == Step(now, now + SECOND, fires=True)


def test_jitter_is_the_same_for_everyone_and_spread() -> None:
    one = rule(cron="@hourly", jitter="10m")
    waits = [jitter(one, "k", NOON + n * HOUR) for n in range(1_000)]
    assert waits == [jitter(one, "k", NOON + n * HOUR) for n in range(1_000)]
    assert all(0 <= wait <= 10 * MINUTE for wait in waits)
    assert 4 * MINUTE < sum(waits) / len(waits) < 6 * MINUTE
    assert jitter(one, "k", NOON) != jitter(one, "other", NOON)
    assert jitter(rule(), "k", NOON) == 0


def test_the_job_of_a_fire() -> None:
    job = job_for(rule(), "daily", NOON, "id-1")
    assert (job.id, job.kind, job.queue, job.args, job.run_at) == ("id-1", "report", "reports", '{"a":1}', NOON)
    assert job.tags == ("x", "schedule:daily", "due:2026-05-06T12:00:00+00:00")
    assert all(check_name(tag, "tag") for tag in job.tags)
    delayed = make_rule(NewJob(id="", kind="k", delay=MINUTE), {"cron": "@hourly", "jitter": "10m"})
    at = job_for(delayed, "d", NOON, "i").run_at
    assert at == NOON + MINUTE + jitter(delayed, "d", NOON)


def test_preview_marks_gaps_and_folds() -> None:
    one = rule(cron="30 2 * * *", timezone="Europe/Berlin")
    seen = preview(one, instant(datetime(2026, 3, 28, tzinfo=UTC)), 3)
    assert [(str(each.at), each.mark) for each in seen] == [
        ("2026-03-28 02:30:00+01:00", None),
        ("2026-03-29 03:00:00+02:00", "gap"),
        ("2026-03-30 02:30:00+02:00", None),
    ]
    assert preview(one, instant(datetime(2026, 10, 24, 12, tzinfo=UTC)), 1)[0].mark == "fold"
    assert len(preview(rule(at=moment(NOON)), 0, 10)) == 1


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({}, "schedule"),
        ({"cron": "@daily", "every": "5m"}, "schedule"),
        ({"every": "5m", "at": moment(NOON)}, "schedule"),
        ({"cron": 5}, "cron"),
        ({"cron": "61 * * * *"}, "cron"),
        ({"every": "0s"}, "every"),
        ({"every": -1}, "every"),
        ({"every": float("nan")}, "every"),
        ({"at": datetime(2026, 1, 1)}, "at"),
        ({"cron": "@daily", "start": moment(NOON)}, "start"),
        ({"cron": "@daily", "timezone": "Mars/Olympus"}, "timezone"),
        ({"cron": "@daily", "timezone": 1}, "timezone"),
        ({"cron": "@daily", "overlap": "both"}, "overlap"),
        ({"cron": "@daily", "missed": "all"}, "missed"),
        ({"cron": "@daily", "missed": "run_all"}, "missed"),
        ({"cron": "@daily", "missed": "run_all", "overlap": "queue", "catch_up": 0}, "catch_up"),
        ({"cron": "@daily", "jitter": "soon"}, "jitter"),
        ({"cron": "@daily", "timzone": "UTC"}, "timzone"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(options: dict[str, Any], field: str) -> None:
    with pytest.raises((InvalidOption, ScheduleError)) as caught:
        make_rule(JOB, options)
    assert caught.value.facts["field"] == field


@pytest.mark.parametrize(
    "fields", [{"after": (Edge("x"),)}, {"run_at": NOON}, {"expires_at": NOON}], ids=["after", "run_at", "expires"]
)
def test_a_job_that_can_only_be_made_once_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        make_rule(NewJob(id="", kind="k", **fields), {"cron": "@daily"})
    with pytest.raises(InvalidOption):
        make_rule("report", {"cron": "@daily"})  # type: ignore[arg-type]


def test_keys() -> None:
    assert read_key("daily.report:eu") == "daily.report:eu"
    for key in ("", "windlass.prune-jobs", "a b", "x" * 181, None):
        with pytest.raises(InvalidOption):
            read_key(key)


def test_timing_in_words() -> None:
    words = [describe(rule(every=every)) for every in ("90s", "2h", "0.5s", timedelta(days=14))]
    assert words == ["every 90s", "every 2h", "every 0.5s", "every 2w"]
    assert describe(rule(cron="@daily")) == "0 0 * * *"
    assert describe(rule(at=moment(NOON))) == "at 2026-05-06 12:00:00Z"
