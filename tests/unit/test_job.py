"""A stored record read as a `Job`: attempts, damaged text, trails."""

from typing import Any

import msgspec
import pytest

from windlass.values.clock import SECOND, moment
from windlass.values.job import (
    LEDGER,
    MOST_TRAIL,
    RECORD,
    ErrorInfo,
    Job,
    Trail,
    append_trail,
    read_job,
    read_trail,
    trail_line,
)
from windlass.values.states import FINAL, State

T0 = 1_800_000_000 * SECOND


def row(**fields: Any) -> dict[str, Any]:
    plain: dict[str, Any] = dict.fromkeys(RECORD)
    plain |= {"id": "j", "kind": "k", "queue": "q", "state": "waiting", "runtime": "async", "priority": 0, "args": "{}"}
    plain |= {"attempt": 0, "max_attempts": 3, "created_at": T0, "run_at": T0}
    return plain | fields


def line(number: int, at: int, **fields: Any) -> str:
    return trail_line(number, at, msgspec.json.encode(Trail(**{"outcome": "retry", **fields})).decode())


def test_a_plain_row() -> None:
    job = read_job(row())
    assert (job.state, job.args, job.options, job.tags, job.parents, job.attempts) == (
        State.WAITING,
        {},
        {},
        (),
        (),
        (),
    )
    assert (job.attempt, job.rescues, job.progress, job.cancelling, job.is_final) == (0, 0, 0.0, False, False)
    assert (job.created_at, job.finished_at) == (moment(T0), None)


def test_every_column_has_its_field() -> None:
    fields = set(Job.__struct_fields__)
    assert {*RECORD, *LEDGER} - {"trail", "note"} <= fields
    assert fields - {*RECORD, *LEDGER} == {"attempts", "progress_note"}


def test_a_running_attempt_counts() -> None:
    job = read_job(
        row(state="active", attempt=2, worker="w", lease=7, started_at=T0, trail=line(1, T0) + "\n" + line(2, T0))
    )
    assert (job.attempt, job.worker, job.lease) == (3, "w", 7)
    assert [(a.number, a.outcome) for a in job.attempts] == [(1, "retry"), (2, "retry"), (3, "active")]
    assert job.attempts[-1].finished_at is None


def test_the_completing_attempt_is_told_by_the_record() -> None:
    job = read_job(row(state="completed", attempt=1, worker="w", started_at=T0, finished_at=T0 + SECOND, result="[]"))
    (only,) = job.attempts
    assert (only.number, only.outcome, only.worker) == (1, "complete", "w")
    assert (only.started_at, only.finished_at) == (moment(T0), moment(T0 + SECOND))
    assert (job.result, job.is_final) == ([], True)


def test_a_job_answered_without_a_run_has_no_attempts() -> None:
    assert read_job(row(state="completed", result="1")).attempts == ()


def test_states_that_are_final() -> None:
    assert {state for state in State if read_job(row(state=state.value)).is_final} == {*FINAL}


def test_trail_lines() -> None:
    error = ErrorInfo(type="E", message="two\nlines \u2028")
    (attempt,) = read_trail(line(3, T0 + SECOND, outcome="fail", error=error, reason="r", worker="w", took=SECOND))
    assert (attempt.number, attempt.outcome, attempt.error, attempt.reason, attempt.worker) == (
        3,
        "fail",
        error,
        "r",
        "w",
    )
    assert (attempt.started_at, attempt.finished_at) == (moment(T0), moment(T0 + SECOND))
    assert read_trail(line(1, T0))[0].started_at is None
    assert read_trail(None) == read_trail("") == []


def test_a_trail_keeps_the_newest() -> None:
    trail: str | None = None
    for n in range(MOST_TRAIL + 7):
        trail = append_trail(trail, line(n, T0))
    assert [attempt.number for attempt in read_trail(trail)] == list(range(7, MOST_TRAIL + 7))


@pytest.mark.parametrize(
    ("text", "args"),
    [
        ('{"a": [1, {"b": null}]}', {"a": [1, {"b": None}]}),
        ("", {}),
        (None, {}),
        ("[1, 2]", {"*": [1, 2]}),
        ("{broken", {"*": "{broken"}),
        (r'{"a": "\ud800"}', {"*": r'{"a": "\ud800"}'}),
        ('{"n": 123456789012345678901234567890}', {"n": 123456789012345678901234567890}),
    ],
)
def test_arguments_are_shown_whatever_they_are(text: str | None, args: dict[str, Any]) -> None:
    assert read_job(row(args=text)).args == args


def test_lists_and_errors() -> None:
    error = msgspec.json.encode(ErrorInfo(type="E", message="m")).decode()
    job = read_job(row(tags='["a","b"]', parents='["p"]', error=error, cancelling=1, progress=12.5, note="n"))
    assert (job.tags, job.parents, job.error) == (("a", "b"), ("p",), ErrorInfo(type="E", message="m"))
    assert (job.cancelling, job.progress, job.progress_note) == (True, 12.5, "n")
