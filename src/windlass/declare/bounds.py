"""Limits as they are declared: `Limit` and the short forms of `@app.job`, read, checked, fitted to a kind's parameters."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, cast

import msgspec
from msgspec.structs import replace

from windlass.declare.rates import RateLike, is_rate_dict, read_most, read_rate
from windlass.declare.refusal import refusal
from windlass.declare.suggest import did_you_mean
from windlass.errors import InvalidOption
from windlass.values.limit import KIND, PROVIDER, QUEUE, Rate
from windlass.values.queue import check_name

MOST_LIMITS = 20
MOST_COST = 1_000_000
FREE = "free"
"""The plan of jobs that name none."""

_SPECIAL = ("user", "group", "queue", "kind")
By: TypeAlias = Literal["user", "group", "queue", "kind", "parameter", "function", "name"]


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """What jobs may do that agree in something: `Limit(by="tenant", rate="10/s", concurrency=2)`.

    `by`: a parameter's name, "user", "group", "queue", "kind", or a function that takes arguments of the kind by their names
    and returns text or a number; None is under no limit. `concurrency`: how many run at once; `rate`: how many start in a
    window; both also by plan, `{"free": 1, "pro": 5}`. `burst`: a token bucket of that size instead of an exact window.
    `cost`: what a start takes of the rate; a number, a parameter's name, or a function as for `by`.
    `scope`: kinds with limits of the same scope and `by` share them; else a limit is its kind's own.
    """

    by: str | Callable[..., Any]
    rate: RateLike | Mapping[str, RateLike] | None = None
    concurrency: int | Mapping[str, int] | None = None
    burst: int | None = None
    cost: int | str | Callable[..., int] = 1
    scope: str | None = None

    def __post_init__(self) -> None:
        read_limit(self)


class Cap(msgspec.Struct, frozen=True, omit_defaults=True):
    """How much a limit allows."""

    concurrency: int | None = None
    rate: Rate | None = None


class Asking(NamedTuple):
    """A function of a job's arguments and the names of those it takes; None: all."""

    fn: Callable[..., Any]
    wants: tuple[str, ...] | None = None


class LimitRule(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A checked `Limit`. `name` stands in its keys. `by` "name" is not settled yet: a parameter, or one of the four words.
    `cost` as text is a parameter. The functions stay with the code: a published rule has none."""

    by: By
    name: str
    cap: Cap = Cap()
    plans: dict[str, Cap] | None = None
    cost: int | str = 1
    scope: str | None = None
    function: Any = None
    counting: Any = None

    @property
    def is_fixed(self) -> bool:
        """Whether it says the same of all jobs of equal options, whatever their arguments."""
        return self.by in _SPECIAL and self.cost.__class__ is int and self.counting is None

    def allows(self, plan: str | None) -> Cap:
        """What jobs of a plan may do; raises `InvalidOption` if it does not know it."""
        return cap_for(self.cap, self.plans, plan, self.name)

    @property
    def stem(self) -> tuple[str, str, str | None]:
        """What limits that share their keys agree in; `/2` marks the second rate by the same."""
        by = "parameter" if self.by == "function" else self.by
        return (by, self.name.split("/")[0], self.scope)


def read_limits(given: Mapping[str, Any]) -> tuple[LimitRule, ...]:
    """The rules of `limits=` and of the short forms among the options of a kind; raises `InvalidOption`."""
    rules: list[LimitRule] = []
    if given.get("rate_limit") is not None or given.get("concurrency") is not None:
        cap, plans = read_caps(given.get("concurrency"), given.get("rate_limit"), None, "concurrency", "rate_limit")
        rules.append(LimitRule(by="kind", name="kind", cap=cap, plans=plans))
    if given.get("per_user_concurrency") is not None:
        cap, plans = read_caps(given["per_user_concurrency"], None, None, "per_user_concurrency", "")
        rules.append(LimitRule(by="user", name="user", cap=cap, plans=plans))
    limits = given.get("limits", ())
    if isinstance(limits, Limit) or not isinstance(limits, Sequence) or isinstance(limits, str):
        raise refusal("limits", limits, "a list of Limit(...)", "use limits=[Limit(by='tenant', rate='10/s')]")
    for number, limit in enumerate(cast("Sequence[Any]", limits), 1):
        if not isinstance(limit, Limit):
            raise refusal("limits", limit, "a list of Limit(...)", "use limits=[Limit(by='tenant', rate='10/s')]")
        rules.append(read_limit(limit, number))
    if len(rules) > MOST_LIMITS:
        raise refusal("limits", len(rules), f"at most {MOST_LIMITS} limits", "use fewer")
    return tuple(rules)


def read_limit(limit: Limit, number: int = 1) -> LimitRule:
    """The rule of one `Limit`; `number` names a function without a name."""
    if limit.rate is None and limit.concurrency is None:
        raise refusal("Limit", limit.by, "given rate= or concurrency=", "say what it limits")
    if limit.rate is None and (limit.burst is not None or limit.cost != 1):
        field = "burst" if limit.burst is not None else "cost"
        raise refusal(f"Limit.{field}", getattr(limit, field), "given with rate=", "leave it out")
    cap, plans = read_caps(limit.concurrency, limit.rate, limit.burst, "Limit.concurrency", "Limit.rate")
    name, function = _read_by(limit.by, number)
    by: By = "name" if function is None else "function"
    counts = callable(limit.cost)
    return LimitRule(
        by=by,
        name=name,
        cap=cap,
        plans=plans,
        cost=1 if counts else _read_cost(limit.cost),
        scope=_read_scope(limit),
        function=function,
        counting=Asking(cast("Callable[..., Any]", limit.cost)) if counts else None,
    )


def fit_limits(rules: Sequence[LimitRule], kind: str, parameters: Sequence[inspect.Parameter]) -> tuple[LimitRule, ...]:
    """The rules for a function of these parameters: each name settled, no key given twice; raises `InvalidOption`."""
    names = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]
    any_name = any(p.kind is p.VAR_KEYWORD for p in parameters)
    found: list[LimitRule] = []
    for rule in rules:
        by = _settled(rule, kind, names, any_name) if rule.by == "name" else rule.by
        if isinstance(rule.cost, str) and rule.cost not in names and not any_name:
            raise _no_parameter("Limit.cost", rule.cost, kind, names)
        if rule.plans is not None and by in ("queue", "kind"):
            why = "jobs of all plans share it; limit by user, or by what has the plan"
            raise refusal("limits", list(rule.plans), f"one limit for all plans, by {by}", why)
        function = _fit_asking("Limit.by", rule.function, kind, names, any_name)
        counting = _fit_asking("Limit.cost", rule.counting, kind, names, any_name)
        fitted = replace(rule, by=by, function=function, counting=counting)
        found.append(_apart(fitted, found))
    return tuple(found)


def cap_for(cap: Cap, plans: Mapping[str, Cap] | None, plan: str | None, what: str) -> Cap:
    """What `what` allows a plan; raises `InvalidOption` if it does not know it."""
    if plans is None:
        return cap
    found = plans.get(FREE if plan is None else plan)
    if found is None:
        near = "" if plan is None else did_you_mean(plan, plans)
        mend = f"name one of them with options(plan=...), or give {plan or FREE!r} a limit where it is declared{near}"
        raise refusal("plan", plan, f"a plan that the limit by {what} knows: {', '.join(plans)}", mend)
    return found


def read_caps(
    concurrency: Any, rate: Any, burst: Any, concurrency_field: str, rate_field: str
) -> tuple[Cap, dict[str, Cap] | None]:
    """A cap, or caps by plan; the fields are named in errors."""
    slot, slots = _by_plan(concurrency, concurrency_field, lambda value, field: read_most(value, field, 1_000_000))
    plain, rates = _by_plan(rate, rate_field, lambda value, field: read_rate(value, field, burst))
    if slots and rates and set(slots) != set(rates):
        why = f"{rate_field} names {', '.join(rates)}"
        raise refusal(concurrency_field, list(slots), f"for the same plans as {rate_field}", why)
    plans = {plan: Cap(slots.get(plan, slot), rates.get(plan, plain)) for plan in slots or rates}
    return (Cap(), plans) if plans else (Cap(slot, plain), None)


def published(rules: Iterable[LimitRule]) -> tuple[LimitRule, ...]:
    """The rules as producers without the code may know them."""
    return tuple(replace(rule, function=None, counting=rule.counting and True) for rule in rules)


def _by_plan(given: Any, field: str, read: Callable[[Any, str], Any]) -> tuple[Any, dict[str, Any]]:
    """A value for all, or values by plan; each read."""
    if given is None:
        return None, {}
    if not isinstance(given, Mapping) or is_rate_dict(cast(object, given)):
        return read(given, field), {}
    if not given:
        raise refusal(field, {}, "a limit, or limits by plan", "name at least one plan")
    plans = cast("Mapping[Any, Any]", given)
    return None, {check_name(plan, f"{field} plan"): read(value, f"{field}[{plan!r}]") for plan, value in plans.items()}


def _read_by(by: Any, number: int) -> tuple[str, Asking | None]:
    if isinstance(by, str) and by.isidentifier():
        return by, None
    if callable(by):
        name = str(getattr(by, "__name__", ""))
        return (name if name.isidentifier() else f"by{number}"), Asking(by)
    what = "a parameter's name, user, group, queue, kind, or a function of the arguments"
    raise refusal("Limit.by", by, what, "use Limit(by='tenant', ...)")


def _read_cost(cost: object) -> int | str:
    if isinstance(cost, str) and cost.isidentifier():
        return cost
    return read_most(cost, "Limit.cost", MOST_COST)


def _read_scope(limit: Limit) -> str | None:
    if limit.scope is None:
        return None
    if limit.by in ("queue", "kind"):
        raise refusal(
            "Limit.scope", limit.scope, f"left out of a limit by {limit.by}", "it holds for all of them anyway"
        )
    scope = check_name(limit.scope, "Limit.scope")
    if f"{scope}:".startswith((QUEUE, KIND, PROVIDER)):
        raise refusal("Limit.scope", scope, "another word than queue, kind, provider", "name it otherwise")
    return scope


def _settled(rule: LimitRule, kind: str, names: Sequence[str], any_name: bool) -> By:
    if rule.name in names:
        return "parameter"
    if rule.name in _SPECIAL:
        return cast(By, rule.name)
    if any_name:
        return "parameter"
    raise _no_parameter("Limit.by", rule.name, kind, names)


def _no_parameter(field: str, name: str, kind: str, names: Sequence[str]) -> InvalidOption:
    words = [*names, *_SPECIAL] if field == "Limit.by" else list(names)
    return refusal(
        field, name, f"one of {', '.join(words)}", f"{kind} has no such parameter{did_you_mean(name, words)}"
    )


def _fit_asking(field: str, asking: Any, kind: str, names: Sequence[str], any_name: bool) -> Asking | None:
    if not isinstance(asking, Asking):
        return asking
    try:
        parameters = inspect.signature(asking.fn).parameters.values()
    except (TypeError, ValueError):
        raise refusal(field, asking.fn, "a function with named parameters", "wrap it in a def or lambda") from None
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return Asking(asking.fn)
    usual = [p for p in parameters if p.kind is not p.VAR_POSITIONAL]
    if any(p.kind is p.POSITIONAL_ONLY for p in usual):
        raise refusal(field, asking.fn, "a function with named parameters", "wrap it in a def or lambda")
    for p in usual:
        if p.name not in names and not any_name and p.default is p.empty:
            hint = did_you_mean(p.name, names)
            raise refusal(
                field,
                p.name,
                f"parameters of {kind}: {', '.join(names) or 'none'}",
                f"the function asks for it by name{hint}",
            )
    return Asking(asking.fn, tuple(p.name for p in usual))


def _apart(rule: LimitRule, others: Sequence[LimitRule]) -> LimitRule:
    """Under keys of its own if another limit has this one's rate already; the same twice is refused."""
    same = [other for other in others if other.stem == rule.stem]
    if _has(rule, "concurrency") and any(_has(other, "concurrency") for other in same):
        raise refusal("limits", rule.name, f"one concurrency by {rule.name}", "leave one of them out")
    rated = [other for other in same if _has(other, "rate")]
    if not rated or not _has(rule, "rate"):
        return rule
    if any(_windows(other) & _windows(rule) for other in rated):
        raise refusal("limits", rule.name, f"rates by {rule.name} of different windows", "leave one of them out")
    return replace(rule, name=f"{rule.name}/{len(rated) + 1}")


def _caps(rule: LimitRule) -> list[Cap]:
    return [rule.cap] if rule.plans is None else list(rule.plans.values())


def _has(rule: LimitRule, what: str) -> bool:
    return any(getattr(cap, what) is not None for cap in _caps(rule))


def _windows(rule: LimitRule) -> set[int]:
    return {cap.rate.window for cap in _caps(rule) if cap.rate is not None}
