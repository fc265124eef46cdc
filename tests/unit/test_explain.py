"""Estimates and the choice among reasons, from facts laid out by hand."""

from datetime import timedelta
from typing import Any

import pytest

from windlass.operate.explain import Crew, Explanation, Recent, explain
from windlass.providers.breakers import BreakerState
from windlass.values.clock import SECOND, moment
from windlass.values.job import RECORD, Job, read_job
from windlass.values.lease import WorkerInfo
from windlass.values.limit import LimitInfo, Rate
from windlass.values.query import Standing
from windlass.values.queue import QueueInfo
from windlass.values.states import State

NOW = 1_800_000_000 * SECOND


def job(**fields: Any) -> Job:
    row: dict[str, Any] = dict.fromkeys(RECORD)
    row |= {
        "id": "j1",
        "kind": "send",
        "queue": "mail",
        "state": State.WAITING,
        "runtime": "async",
        "priority": 0,
        "attempt": 0,
        "max_attempts": 3,
        "created_at": NOW - SECOND,
        "run_at": NOW - SECOND,
    }
    return read_job(row | fields)


def worker(**fields: Any) -> WorkerInfo:
    facts: dict[str, Any] = {
        "id": "w1",
        "session": "s",
        "host": "h",
        "pid": 1,
        "version": "1",
        "started_at": NOW,
        "queues": None,
        "kinds": ("send",),
        "slots": {"async": 2, "thread": 0},
        "lease": 30 * SECOND,
    }
    return WorkerInfo(**(facts | fields))


def explained(
    line: int | None = 0,
    *limits: LimitInfo,
    recent: Recent | None = None,
    crew: Crew | None = None,
    queue: QueueInfo | None = None,
    breakers: dict[str, BreakerState] | None = None,
    **fields: Any,
) -> Explanation:
    standing = Standing(
        job=job(**fields),
        now=NOW,
        queue=queue or QueueInfo(name="mail"),
        line=line,
        limits=limits,
        holders={"k": ("j0",)},
    )
    return explain(standing, crew or Crew([worker()]), recent or Recent(), breakers or {})


def test_nothing_holds_it() -> None:
    found = explained()
    assert (found.blocked_by, found.position, found.estimate) == ((), 1, 0.0)


@pytest.mark.parametrize(
    ("line", "limits", "recent", "estimate"),
    [
        (100, (), Recent(10.0), 10.0),
        (100, (), Recent(), None),
        (9, (LimitInfo(key="k", concurrency=2, held=2),), Recent(100.0, 5.0), 25.0),
        (0, (LimitInfo(key="k", concurrency=2, held=1),), Recent(100.0, 5.0), 0.0),
        (4, (LimitInfo(key="k", rate=Rate(2, SECOND)),), Recent(100.0), 2.0),
        (4, (LimitInfo(key="k", rate=Rate(2, SECOND), used=2, opens_at=NOW + SECOND),), Recent(), 3.0),
        (0, (LimitInfo(key="k", shut_until=NOW + 30 * SECOND),), Recent(), 30.0),
        (10, (LimitInfo(key="provider:p", shut_until=NOW + 30 * SECOND, trial=1),), Recent(2.0), 35.0),
    ],
)
def test_estimates(line: int, limits: tuple[LimitInfo, ...], recent: Recent, estimate: float | None) -> None:
    assert explained(line, *limits, recent=recent).estimate == estimate


def test_no_estimate_while_something_has_no_time() -> None:
    assert explained(5, queue=QueueInfo(name="mail", paused=True), recent=Recent(1.0)).estimate is None
    assert explained(5, crew=Crew(), recent=Recent(1.0)).estimate is None


@pytest.mark.parametrize(
    ("crew", "code"),
    [
        (Crew(), "no-worker"),
        (Crew([worker(queues=("other",))]), "no-worker-for-queue"),
        (Crew([worker(state="quiet"), worker(state="stopping", queues=("mail",))]), "workers-quiet"),
        (Crew([worker(kinds=("other",))]), "no-worker-for-kind"),
        (Crew([worker(state="quiet"), worker(kinds=("other",))]), "no-worker-for-kind"),
        (Crew([worker(slots={"thread": 4})]), "no-slots"),
        (Crew([worker()], {"w1": 2}), "workers-busy"),
    ],
)
def test_who_could_take_it(crew: Crew, code: str) -> None:
    assert explained(crew=crew).blocked_by == (code,)


def test_the_gate_of_a_provider_says_why_it_is_shut() -> None:
    shut = LimitInfo(key="provider:p", shut_until=NOW + SECOND, trial=1)
    probing = LimitInfo(key="provider:p", shut_until=NOW - SECOND, trial=1, held=1)
    assert explained(0, shut, breakers={"p": BreakerState("open", "Down: 503")}).blocked_by == ("breaker-open",)
    assert explained(0, shut, breakers={"p": BreakerState("closed", "")}).blocked_by == ("provider-limited",)
    assert explained(0, probing, breakers={"p": BreakerState("half-open", "")}).blocked_by == ("breaker-half-open",)
    assert explained(0, LimitInfo(key="provider:p")).blocked_by == ()


def test_a_mend_changes_one_thing_and_keeps_the_other() -> None:
    limit = LimitInfo(key="user:send:it's", concurrency=2, held=2, rate=Rate(5, 60 * SECOND), opens_at=NOW + SECOND)
    full, rate = explained(0, limit).reasons[:2]
    assert full.mend == """windlass limits set 'user:send:it'"'"'s' --concurrency 3 --rate 5/60s"""
    assert rate.mend == """windlass limits set 'user:send:it'"'"'s' --concurrency 2 --rate 10/60s"""
    assert rate.until == moment(NOW) + timedelta(seconds=1)


def test_a_suspended_job_without_a_limit_waits_for_ever() -> None:
    standing = Standing(
        job=job(state=State.BLOCKED, run_at=NOW + 100 * SECOND), now=NOW, queue=QueueInfo(name="mail"), signal="go"
    )
    found = explain(standing, Crew([worker()]), Recent(), {})
    assert found.blocked_by == ("signal",)
    assert found.reasons[0].until == moment(NOW + 100 * SECOND)
