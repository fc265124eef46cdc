"""Priority rules: what a job's kind, arguments, tags and plan say about its priority when nobody gave it one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, cast

import msgspec
from msgspec.structs import replace

from windlass.declare.refusal import refusal
from windlass.errors import InvalidArgs, InvalidOption, TooLarge
from windlass.values.codec import MEBIBYTE, encode
from windlass.values.priority import Priority, check_priority
from windlass.values.queue import check_name

_STEP = 5
"""What lies between two priority classes."""


class PriorityRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """When everything given matches, the job gets `priority`, or moves `shift` classes up (down when negative).

    `kind` may hold `*`; `tags` and `plan` match when the job has any of those named. `args`: parameter -> the value it must
    have, or a list of such values, or a function that looks at the value; `"metadata.env"` looks into an object, and a
    parameter that the job does not have never matches. `when`: a function of all arguments. Arguments are the plain values
    of JSON, by parameter name. `name` is kept on jobs that the rule decided about.
    """

    name: str
    priority: int | str | None = None
    shift: int = 0
    kind: str | None = None
    tags: Sequence[str] | str = ()
    plan: Sequence[str] | str = ()
    args: Mapping[str, Any | Callable[[Any], object]] = {}
    when: Callable[[dict[str, Any]], object] | None = None


BY_PLAN = (
    PriorityRule("plan-free", Priority.LOW, plan="free"),
    PriorityRule("plan-basic", Priority.NORMAL, plan="basic"),
    PriorityRule("plan-pro", Priority.HIGH, plan="pro"),
    PriorityRule("plan-enterprise", Priority.CRITICAL, plan="enterprise"),
)
"""The four subscription plans as the four priority classes."""

BY_TAG = (
    PriorityRule("tag-urgent", shift=1, tags="urgent"),
    PriorityRule("tag-production", shift=1, tags="production"),
    PriorityRule("tag-batch", shift=-1, tags="batch"),
    PriorityRule("tag-dev", shift=-1, tags="dev"),
)
"""`urgent` and `production` move a job one class up, `batch` and `dev` one down."""


class Ranked(NamedTuple):
    """What the rules make of a job: its priority, and the names of those that decided, for `RunOptions.rule`."""

    priority: int
    rule: str


def rank(
    rules: Iterable[PriorityRule],
    kind: str,
    args: dict[str, Any],
    tags: Sequence[str],
    plan: str | None,
    otherwise: int,
) -> Ranked | None:
    """The highest priority of the rules that match, else `otherwise`, moved by those that shift, which stay within the
    classes LOW to CRITICAL. None when no rule matches. Raises `InvalidOption` naming a rule whose function fails."""
    chosen: PriorityRule | None = None
    shifts: list[PriorityRule] = []
    for rule in rules:
        if not _matches(rule, kind, args, tags, plan):
            continue
        if rule.priority is None:
            shifts.append(rule)
        elif chosen is None or cast(int, rule.priority) > cast(int, chosen.priority):
            chosen = rule
    if chosen is None and not shifts:
        return None
    start = otherwise if chosen is None else cast(int, chosen.priority)
    moved = start + _STEP * sum(rule.shift for rule in shifts)
    priority = max(min(moved, max(Priority.CRITICAL, start)), min(Priority.LOW, start))
    names = [rule.name for rule in ([chosen] if chosen else []) + shifts]
    return Ranked(int(priority), ", ".join(names))


def read_rules(given: Any, field: str = "priority_rules") -> tuple[PriorityRule, ...]:
    """Checked rules; raises `InvalidOption`."""
    if isinstance(given, (PriorityRule, str)) or not isinstance(given, Iterable):
        raise refusal(field, given, "a list of PriorityRule", "use [PriorityRule('name', Priority.HIGH, ...)]")
    rules = tuple(_read_rule(rule, field) for rule in cast("Iterable[Any]", given))
    names = [rule.name for rule in rules]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise refusal(field, twice, "rules with different names", "give one of the two another name")
    return rules


def is_plain(rule: PriorityRule) -> bool:
    """Whether the rule holds no function, so that producers without the code can go by it."""
    return rule.when is None and not any(callable(value) for value in rule.args.values())


def _read_rule(rule: Any, field: str) -> PriorityRule:
    if not isinstance(rule, PriorityRule):
        raise refusal(field, rule, "PriorityRule(...)", "use PriorityRule('name', Priority.HIGH, ...)")
    check_name(rule.name, f"{field}.name")
    if (rule.priority is None) == (rule.shift == 0):
        raise refusal(f"{field}.{rule.name}", rule.priority, "given a priority or a shift", "give one of the two")
    if rule.kind is not None and not isinstance(rule.kind, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refusal(f"{field}.{rule.name}.kind", rule.kind, "a kind, * for anything in it", "use kind='deploy-*'")
    if isinstance(rule.shift, bool) or not isinstance(rule.shift, int) or not -3 <= rule.shift <= 3:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refusal(f"{field}.{rule.name}.shift", rule.shift, "-3..3 classes", "there are four classes")
    if not isinstance(rule.args, Mapping) or not all(isinstance(name, str) for name in rule.args):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refusal(f"{field}.{rule.name}.args", rule.args, "{parameter: value}", "use args={'env': 'production'}")
    if rule.when is not None and not callable(rule.when):
        raise refusal(
            f"{field}.{rule.name}.when", rule.when, "a function of the arguments", "use when=lambda args: ..."
        )
    return replace(
        rule,
        priority=None if rule.priority is None else check_priority(rule.priority, f"{field}.{rule.name}.priority"),
        tags=_several(rule.tags, f"{field}.{rule.name}.tags"),
        plan=_several(rule.plan, f"{field}.{rule.name}.plan"),
        args={name: _wanted(value, f"{field}.{rule.name}.args.{name}") for name, value in rule.args.items()},
    )


def _wanted(value: Any, field: str) -> Any:
    """A value as arguments are compared with it: as JSON tells it. A function stays one."""
    if callable(value):
        return value
    plain: Any = list(cast("Iterable[Any]", value)) if isinstance(value, (set, frozenset, tuple)) else value
    try:
        return msgspec.json.decode(encode(plain, field, MEBIBYTE, "a value of a rule"))
    except (InvalidArgs, TooLarge):
        raise refusal(
            field, plain, "a value that JSON can hold, a list of such, or a function", "write it so"
        ) from None


def _several(given: Any, field: str) -> tuple[str, ...]:
    if isinstance(given, str):
        given = (given,)
    if not isinstance(given, Sequence):
        raise refusal(field, given, "a name or a list of names", "use a list")
    return tuple(check_name(name, field) for name in cast("Sequence[Any]", given))


def _matches(rule: PriorityRule, kind: str, args: dict[str, Any], tags: Sequence[str], plan: str | None) -> bool:
    if rule.kind is not None and not fnmatchcase(kind, rule.kind):
        return False
    if rule.tags and not any(tag in rule.tags for tag in tags):
        return False
    if rule.plan and (plan is None or plan not in rule.plan):
        return False
    try:
        return all(_has(args, name, wanted) for name, wanted in rule.args.items()) and (
            rule.when is None or bool(rule.when(args))
        )
    except Exception as error:
        raise InvalidOption(
            f"priority rule {rule.name!r} failed on a job of {kind}: {type(error).__name__}: {error}",
            field=f"priority_rules.{rule.name}",
            kind=kind,
            mend="make its function return true or false for any arguments",
        ) from error


_ABSENT = object()


def _has(args: dict[str, Any], name: str, wanted: Any) -> bool:
    value: Any = args.get(name, _ABSENT)
    if value is _ABSENT and "." in name:
        value = args
        for part in name.split("."):
            value = cast("dict[str, Any]", value).get(part, _ABSENT) if isinstance(value, dict) else _ABSENT
    if value is _ABSENT:
        return False
    if callable(wanted):
        return bool(wanted(value))
    return value in wanted if isinstance(wanted, list) and not isinstance(value, list) else value == wanted
