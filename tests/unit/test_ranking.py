"""Priority rules: which match, which wins, how far a shift goes, and what is refused."""

from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Any

import msgspec
import pytest

from windlass import BY_PLAN, BY_TAG, InvalidOption, Priority, PriorityRule, Windlass
from windlass.declare.ranking import rank, read_rules


def is_recent(at: str) -> bool:
    return datetime.now(UTC) - datetime.fromisoformat(at) < timedelta(minutes=5)


def rules() -> tuple[PriorityRule, ...]:
    return read_rules(
        [
            PriorityRule("production", "critical", kind="deploy-*", args={"environment": "production"}),
            PriorityRule("urgent", Priority.HIGH, kind="deploy-*", tags=["urgent"]),
            PriorityRule("staging", Priority.NORMAL, kind="deploy-*", args={"environment": ["staging", "test"]}),
            PriorityRule("dev", "low", kind="deploy-*", args={"environment": "dev"}),
            PriorityRule("real-time", "high", kind="process-tts", args={"realtime": True}),
            PriorityRule("short-text", "normal", kind="process-tts", args={"text": lambda text: len(text) <= 500}),
            PriorityRule("batch", "low", kind="process-tts", when=lambda args: len(args["text"]) > 500),
            PriorityRule("breaking", 10, kind="index-market-news", args={"news.breaking": True}),
            PriorityRule("recent", 5, kind="index-market-news", args={"news.at": is_recent}),
        ]
    )


NOW, OLD = ((datetime.now(UTC) + timedelta(hours=hours)).isoformat() for hours in (1, -1))  # a long test run is no news


@pytest.mark.parametrize(
    ("kind", "args", "tags", "priority", "rule"),
    [
        ("deploy-contract", {"environment": "production"}, (), 10, "production"),
        ("deploy-contract", {"environment": "production"}, ("urgent",), 10, "production"),
        ("deploy-contract", {"environment": "dev"}, ("urgent",), 5, "urgent"),
        ("deploy-contract", {"environment": "test"}, (), 0, "staging"),
        ("deploy-contract", {"environment": "dev"}, (), -5, "dev"),
        ("deploy-contract", {"environment": "elsewhere"}, (), None, None),
        ("deploy-contract", {}, (), None, None),
        ("other", {"environment": "production"}, ("urgent",), None, None),
        ("process-tts", {"text": "a" * 9_999, "realtime": True}, (), 5, "real-time"),
        ("process-tts", {"text": "short", "realtime": False}, (), 0, "short-text"),
        ("process-tts", {"text": "a" * 501, "realtime": False}, (), -5, "batch"),
        ("index-market-news", {"news": {"breaking": True, "at": OLD}}, (), 10, "breaking"),
        ("index-market-news", {"news": {"breaking": False, "at": NOW}}, (), 5, "recent"),
        ("index-market-news", {"news": {"breaking": False, "at": OLD}}, (), None, None),
        ("index-market-news", {"news": "none"}, (), None, None),
    ],
)
def test_the_highest_match_decides(
    kind: str, args: dict[str, Any], tags: tuple[str, ...], priority: int | None, rule: str | None
) -> None:
    found = rank(rules(), kind, args, tags, None, 0)
    assert (found and found.priority, found and found.rule) == (priority, rule)


@pytest.mark.parametrize(
    ("tags", "plan", "otherwise", "priority", "rule"),
    [
        ((), "free", 0, -5, "plan-free"),
        ((), "enterprise", 0, 10, "plan-enterprise"),
        ((), "unheard-of", 0, None, None),
        ((), None, 0, None, None),
        (("urgent",), None, 0, 5, "tag-urgent"),
        (("urgent", "production"), None, 0, 10, "tag-urgent, tag-production"),
        (("urgent", "production"), "enterprise", 0, 10, "plan-enterprise, tag-urgent, tag-production"),
        (("urgent",), "free", 0, 0, "plan-free, tag-urgent"),
        (("batch", "dev"), "pro", 0, -5, "plan-pro, tag-batch, tag-dev"),
        (("batch", "urgent"), None, 3, 3, "tag-urgent, tag-batch"),
        (("urgent",), None, 50, 50, "tag-urgent"),
        (("batch",), None, -50, -50, "tag-batch"),
        (("batch",), None, 50, 45, "tag-batch"),
    ],
)
def test_plans_set_and_tags_shift(
    tags: tuple[str, ...], plan: str | None, otherwise: int, priority: int | None, rule: str | None
) -> None:
    found = rank(read_rules((*BY_PLAN, *BY_TAG)), "k", {}, tags, plan, otherwise)
    assert (found and found.priority, found and found.rule) == (priority, rule)


def test_an_explicit_priority_beats_rules_and_the_declared_one_does_not() -> None:
    app = Windlass("sqlite://:memory:")
    app.priority_rules = BY_PLAN

    @app.job(priority="high", priority_rules=[PriorityRule("big", "critical", args={"n": lambda n: n > 9})])
    def work(n: int) -> None: ...

    assert (work.job(1).priority, work.job(1).options) == (5, "")
    assert (work.job(10).priority, msgspec.json.decode(work.job(10).options)) == (10, {"rule": "big"})
    free = work.options(plan="free")
    assert (free.job(1).priority, msgspec.json.decode(free.job(1).options)["rule"]) == (-5, "plan-free")
    assert free.job(10).priority == 10
    assert (free.options(priority=1).job(10).priority, work.options(priority=0).job(10).priority) == (1, 0)
    app.priority_rules = []
    assert free.job(1).priority == 5


def test_a_rule_that_fails_is_named() -> None:
    app = Windlass("sqlite://:memory:")
    app.priority_rules = [PriorityRule("broken", 1, when=lambda args: args["nothing"])]

    @app.job
    def work(n: int) -> None: ...

    with pytest.raises(InvalidOption, match=r"rule 'broken' failed on a job of work: KeyError: 'nothing'"):
        work.job(1)
    assert work.options(priority=0).job(1).priority == 0


BAD: list[Any] = [
    PriorityRule("x", 1),
    None,
    ["x"],
    [PriorityRule("x")],
    [PriorityRule("x", 1, shift=1)],
    [PriorityRule("x", "higher")],
    [PriorityRule("x", 101)],
    [PriorityRule("x", shift=9)],
    [PriorityRule("", 1)],
    [PriorityRule("x", 1), PriorityRule("x", 2)],
    [PriorityRule("x", 1, args=["a"])],  # type: ignore[arg-type]
    [PriorityRule("x", 1, when="always")],  # type: ignore[arg-type]
    [PriorityRule("x", 1, tags=[5])],  # type: ignore[list-item]
    [PriorityRule("x", 1, plan=5)],  # type: ignore[arg-type]
    [PriorityRule("x", 1, kind=5)],  # type: ignore[arg-type]
    [PriorityRule("x", shift=True)],
    [PriorityRule("x", 1, args={"a": 1j})],
    [PriorityRule("x", 1, args={"a": "\ud800"})],
    [PriorityRule("x", 1, args={"a": [float("nan")]})],
    [PriorityRule("x", 1, args={"a": [len]})],
]


def test_values_are_compared_as_json_tells_them() -> None:
    class Where(Enum):
        HERE = "here"

    rules = read_rules([PriorityRule("r", 7, args={"day": date(2030, 1, 1), "at": (Where.HERE,)})])
    assert rank(rules, "work", {"day": "2030-01-01", "at": "here"}, (), None, 0) == (7, "r")
    assert rank(rules, "work", {"day": "2030-01-02", "at": "here"}, (), None, 0) is None


@pytest.mark.parametrize("given", BAD, ids=repr)
def test_what_cannot_be_a_rule_is_refused_where_it_is_written(given: Any) -> None:
    app = Windlass("sqlite://:memory:")
    with pytest.raises(InvalidOption):
        app.priority_rules = given
    if given is not None:
        with pytest.raises(InvalidOption):
            app.job(priority_rules=given)(lambda: None)
