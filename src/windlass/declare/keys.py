"""The keys and bounds that one job gets of its kind's limits."""

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from windlass.declare.bounds import MOST_COST, Asking, Cap, LimitRule
from windlass.declare.rates import read_most
from windlass.declare.refusal import refusal
from windlass.declare.signature import Binder
from windlass.errors import InvalidArgs, InvalidOption
from windlass.values.failure import is_text
from windlass.values.limit import KIND, QUEUE, Bound

LONGEST_VALUE = 200
"""Characters of a value that stand in its key; of a longer one, and of one that cannot be shown, a digest does."""


class About(NamedTuple):
    """What limits look at of a job beside its arguments. `caps`: what the app declares of whole queues and kinds."""

    kind: str
    queue: str
    user: str | None = None
    group: str | None = None
    plan: str | None = None
    cost: int | None = None
    caps: Mapping[str, Cap] = {}


def bounds_of(rules: Sequence[LimitRule], about: About, arguments: "Arguments | None" = None) -> tuple[Bound, ...]:
    """The bounds of one job, each key once. Raises `InvalidOption` for unknown plans and values that make no key.

    What holds for a whole queue or kind is not among them: the store knows it (see `capacity.py`). Only a cost brings it in.
    """
    bounds: dict[str, Bound] = {}
    for rule in rules:
        whole = whole_key(rule, about)
        key = _key(rule, about, arguments) if whole is None else whole
        if key is None:
            continue
        cap = rule.allows(about.plan)
        cost = 1 if cap.rate is None else _cost(rule, about, arguments)
        if whole is not None and cost == 1:
            continue
        old = bounds.get(key) or _declared(key, about)
        bounds[key] = Bound(
            key,
            old.concurrency if cap.concurrency is None else cap.concurrency,
            old.rate if cap.rate is None else cap.rate,
            old.cost if cap.rate is None else cost,
        )
    if about.cost is not None:
        for key in (QUEUE + about.queue, KIND + about.kind):
            declared = _declared(key, about)
            if declared.rate is not None and key not in bounds:
                bounds[key] = replace(declared, cost=about.cost)
    return tuple(bounds.values())


class JobLimits:
    """The limits of the jobs that one set of options makes. `fixed`: their bounds, where no argument has a say in them."""

    def __init__(
        self, rules: Sequence[LimitRule], about: About, cost: int | None, caps: Callable[[], Mapping[str, Cap]]
    ) -> None:
        self._rules = rules
        self._about = about
        self._cost = cost
        self._caps = caps
        self.fixed: tuple[Bound, ...] | None = None
        if about.plan is not None:
            for rule in rules:  # an unknown plan is refused where it is named
                rule.allows(about.plan)
        if cost is None and all(rule.is_fixed for rule in rules):
            with contextlib.suppress(InvalidOption):  # no plan, and no limit for that: said when a job is made
                self.fixed = bounds_of(rules, about)

    def bounds(self, arguments: "Arguments") -> tuple[Bound, ...]:
        """The bounds of a job with these arguments."""
        about = self._about
        if self._cost is not None:
            about = about._replace(cost=self._cost, caps=self._caps())
        return bounds_of(self._rules, about, arguments)


def whole_key(rule: LimitRule, about: About) -> str | None:
    """`queue:<name>` or `kind:<name>` of a rule that is about all jobs of it."""
    if rule.by == rule.name == "queue":
        return QUEUE + about.queue
    return KIND + about.kind if rule.by == rule.name == "kind" else None


def _declared(key: str, about: About) -> Bound:
    cap = about.caps.get(key)
    return Bound(key) if cap is None else Bound(key, cap.concurrency, cap.rate)


def key_of(scope: str, name: str, value: object, field: str) -> str | None:
    """The key `<scope>:<name>=<value>`, None for the value None; raises `InvalidOption` for what is no text or number."""
    if value is None:
        return None
    if isinstance(value, str):
        text = str.__str__(value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        text = str(int(value)) if isinstance(value, int) else repr(float(value))
    else:
        raise refusal(field, value, "text, a number or None", "limit by a value that names one thing, such as its id")
    if not is_text(text):
        raise refusal(field, value, "Unicode text", "leave the lone surrogate out")
    if len(text) > LONGEST_VALUE or not text.isprintable() or text.startswith("~"):
        text = f"~{sha256(text.encode()).hexdigest()[:40]}"
    return f"{scope}:{name}={text}"


class Arguments:
    """One job's arguments as limits ask for them."""

    def __init__(self, binder: Binder, text: str, promised: Iterable[str] = ()) -> None:
        self._binder = binder
        self._text = text
        self._promised = frozenset(promised)
        self._plain: dict[str, Any] | None = None
        self.hide: Callable[[str], str] | None = None
        """What a value becomes in a key, where arguments are kept secret."""
        self._typed: dict[str, Any] | None = None

    def plain(self, name: str, field: str) -> Any:
        """One argument as JSON's plain value."""
        plain = self._plain
        if plain is None:
            plain = self._plain = msgspec.json.decode(self._text, type=dict[str, Any])
        if name in plain:
            return plain[name]
        if name in self._promised:
            raise self._unknown(field, name)
        default = next((p.default for p in self._binder.parameters if p.name == name), None)
        if default is None or isinstance(default, (str, int, float)):
            return default
        raise refusal(field, name, "an argument that is given", f"give {self._binder.kind} the argument {name}")

    def ask(self, asking: "Asking | None", field: str) -> Any:
        """What a function makes of those it takes, as the handler will get them."""
        kind = self._binder.kind
        if not isinstance(asking, Asking):
            why = "enqueue it where the code of the kind is, or limit by a parameter"
            raise refusal(field, f"a function of {kind}", "computed by the code of the kind", why)
        typed = self._values(field)
        given = {name: value for name, value in typed.items() if asking.wants is None or name in asking.wants}
        try:
            return asking.fn(**given)
        except Exception as error:
            raise InvalidOption(
                f"{field} of {kind} raised {type(error).__name__}: {error}",
                field=field,
                value=type(error).__name__,
                limit="text, a number or None",
                mend="mend the function",
            ) from error

    def _values(self, field: str) -> dict[str, Any]:
        if self._typed is None:
            try:
                positional, named = self._binder.decode(self._text)
            except InvalidArgs as error:
                if self._promised:
                    raise self._unknown(field, ", ".join(sorted(self._promised))) from error
                raise
            names = [p.name for p in self._binder.parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
            given = {**dict(zip(names, positional, strict=False)), **named}
            rest = next((p.name for p in self._binder.parameters if p.kind is p.VAR_POSITIONAL), None)
            if rest is not None:
                given[rest] = positional[len(names) :]
            missing = {p.name: p.default for p in self._binder.parameters if p.default not in (p.empty, msgspec.UNSET)}
            self._typed = {**missing, **given}
        return self._typed

    def _unknown(self, field: str, name: str) -> InvalidOption:
        why = "limit by an argument that is known when the job is stored"
        return refusal(field, name, "known now, and it is the result of another job", why)


def _key(rule: LimitRule, about: About, arguments: Arguments | None) -> str | None:
    if rule.by in ("user", "group", "queue", "kind"):
        value = getattr(about, rule.by)
    else:
        assert arguments is not None
        named = rule.name.split("/")[0]
        value = (
            arguments.ask(rule.function, "Limit.by") if rule.by == "function" else arguments.plain(named, "Limit.by")
        )
    field = f"limit by {rule.name}"
    if arguments is not None and arguments.hide is not None and rule.by not in ("user", "group", "queue", "kind"):
        value = None if value is None else arguments.hide(key_of("", "", value, field) or "")
    return key_of(rule.scope or about.kind, rule.name, value, field)


def _cost(rule: LimitRule, about: About, arguments: Arguments | None) -> int:
    if about.cost is not None:
        return about.cost
    if rule.counting is None and isinstance(rule.cost, int):
        return rule.cost
    assert arguments is not None
    if rule.counting is not None:
        value = arguments.ask(rule.counting, "Limit.cost")
    else:
        value = arguments.plain(str(rule.cost), "Limit.cost")
    return read_most(value, "cost", MOST_COST)
