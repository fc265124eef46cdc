"""Limits as users declare them: what becomes of them on jobs, and what is refused, naming field, limit and mend."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec
import pytest

from windlass import InvalidOption, Limit, NewJob, Windlass, result_of
from windlass.declare.kinds import KindInfo, describe
from windlass.values.limit import Bound, Rate

SECOND = 1_000_000
PLANS = {"free": 1, "basic": 2, "pro": 5, "enterprise": 10}


@pytest.fixture
def app() -> Windlass:
    return Windlass("sqlite://:memory:")


def refused(call: Callable[[], Any], field: str) -> InvalidOption:
    with pytest.raises(InvalidOption) as caught:
        call()
    error = caught.value
    assert error.field == field, error
    assert error.limit
    assert error.mend
    assert error.field in str(error)
    return error


def keys(job: NewJob[Any]) -> list[str]:
    return [bound.key for bound in job.limits]


def test_by_a_parameter(app: Windlass) -> None:
    @app.job(limits=[Limit(by="tenant", rate="10/s", burst=20), Limit(by="tenant", concurrency=2)])
    async def sync(tenant: str, page: int = 1) -> None: ...

    assert sync.job("acme").limits == (Bound("sync:tenant=acme", 2, Rate(10, SECOND, 20)),)
    assert keys(sync.job(tenant="Zürich 1", page=7)) == ["sync:tenant=Zürich 1"]


class Colour(StrEnum):
    RED = "red"


def test_values_make_keys(app: Windlass) -> None:
    @app.job(limits=[Limit(by="id", concurrency=1)])
    async def one(id: Any = 5) -> None: ...

    made = {str(value): keys(one.job(value)) for value in (7, "7", 1.5, Colour.RED, UUID(int=1), "", -1)}
    assert made == {
        "7": ["one:id=7"],
        "1.5": ["one:id=1.5"],
        "red": ["one:id=red"],
        str(UUID(int=1)): [f"one:id={UUID(int=1)}"],
        "": ["one:id="],
        "-1": ["one:id=-1"],
    }
    assert keys(one.job()) == ["one:id=5"]
    assert keys(one.job(None)) == [], "None is under no limit"
    long, control, tilde = keys(one.job("x" * 201))[0], keys(one.job("a\nb"))[0], keys(one.job("~a"))[0]
    assert len({long, control, tilde, keys(one.job("x" * 202))[0]}) == 4
    assert all(len(key) == len("one:id=~") + 40 and key.startswith("one:id=~") for key in (long, control, tilde))


@pytest.mark.parametrize("value", [True, False, ["a"], {"a": 1}, []])
def test_other_values_are_refused_at_enqueue(app: Windlass, value: Any) -> None:
    @app.job(limits=[Limit(by="id", concurrency=1)])
    async def one(id: Any) -> None: ...

    refused(lambda: one.job(value), "limit by id")


def test_a_lone_surrogate_is_refused(app: Windlass) -> None:
    @app.job(limits=[Limit(by=lambda id: "\ud800", concurrency=1)])
    async def one(id: int) -> None: ...

    refused(lambda: one.job(1), "limit by by1")


def test_by_user_and_group(app: Windlass) -> None:
    @app.job(limits=[Limit(by="user", concurrency=2), Limit(by="group", rate="5/m")])
    async def send(to: str) -> None: ...

    assert send.job("a").limits == ()
    assert keys(send.options(user="42").job("a")) == ["send:user=42"]
    assert keys(send.options(user="42").options(group="g").job("a")) == ["send:user=42", "send:group=g"]
    assert send.options(user="42").job("a").limits == (Bound("send:user=42", 2),)


def test_a_parameter_goes_before_the_word(app: Windlass) -> None:
    @app.job(limits=[Limit(by="user", concurrency=2)], per_user_concurrency=1)
    async def greet(user: str) -> None: ...

    assert keys(greet.job("ann")) == ["greet:user=ann"]
    assert greet.options(user="bob").job("ann").limits == (Bound("greet:user=bob", 1), Bound("greet:user=ann", 2))


def test_by_a_function_of_the_arguments(app: Windlass) -> None:
    def domain(to: str) -> str:
        return to.split("@")[1]

    @app.job(limits=[Limit(by=domain, rate="5/m"), Limit(by=lambda **all: len(all), concurrency=3)])
    async def send(to: str, text: str = "hi") -> None: ...

    assert keys(send.job("a@b.org")) == ["send:domain=b.org", "send:by2=2"]


class Order(msgspec.Struct):
    tenant: str
    size: int


def test_functions_get_what_the_handler_gets(app: Windlass) -> None:
    @app.job(limits=[Limit(by=lambda order: order.tenant, rate="5/m", cost=lambda order: order.size)])
    async def ship(order: Order) -> None: ...

    assert ship.job(Order("acme", 3)).limits == (Bound("ship:by1=acme", None, Rate(5, 60 * SECOND), 3),)
    refused(lambda: ship.job(Order("acme", 0)), "cost")


def test_what_a_function_raises_names_the_limit(app: Windlass) -> None:
    @app.job(limits=[Limit(by=lambda to: to.split("@")[1], rate="5/m")])
    async def send(to: str) -> None: ...

    assert "IndexError" in str(refused(lambda: send.job("nobody"), "Limit.by"))


def test_whole_kinds_and_queues_are_the_stores(app: Windlass) -> None:
    @app.job(queue="mail", rate_limit="5/m", concurrency=2, limits=[Limit(by="queue", concurrency=9)])
    async def send(to: str) -> None: ...

    assert send.job("a").limits == ()
    caps = {key: (cap.concurrency, cap.rate) for key, cap in app.capacity.caps.items()}
    assert caps == {"kind:send": (2, Rate(5, 60 * SECOND)), "queue:mail": (9, None)}
    assert send.options(cost=3).job("a").limits == (Bound("kind:send", 2, Rate(5, 60 * SECOND), 3),)


def test_a_cost_brings_the_queues_rate_in(app: Windlass) -> None:
    app.queue("mail", rate_limit="100/m", concurrency=10)

    @app.job(queue="mail")
    async def send(to: str) -> None: ...

    assert send.job("a").limits == ()
    assert send.options(cost=3).job("a").limits == (Bound("queue:mail", 10, Rate(100, 60 * SECOND), 3),)
    assert send.options(cost=3, queue="other").job("a").limits == ()


def test_costs(app: Windlass) -> None:
    @app.job(limits=[Limit(by="tenant", rate="1000/m", cost="tokens"), Limit(by="kind", rate="9/s", cost=2)])
    async def ask(tenant: str, tokens: int = 10) -> None: ...

    assert [(b.key, b.cost) for b in ask.job("a").limits] == [("ask:tenant=a", 10), ("kind:ask", 2)]
    assert [b.cost for b in ask.options(cost=7).job("a", 500).limits] == [7, 7]
    for tokens in (0, -1, 10_000_000):
        refused(lambda tokens=tokens: ask.job("a", tokens), "cost")
    for cost in (0, -1, True, 1.5, "3", 1_000_001):
        refused(lambda cost=cost: ask.options(cost=cost), "cost")


def test_weights(app: Windlass) -> None:
    @app.job
    async def ask() -> None: ...

    assert ask.options(group="g", weight=3).job().weight == 3
    assert ask.job().weight == 1
    for weight in (0, -1, 101, True, 1.5, "3"):
        refused(lambda weight=weight: ask.options(weight=weight), "weight")


def test_by_plan(app: Windlass) -> None:
    @app.job(per_user_concurrency=PLANS)
    async def render(n: int) -> None: ...

    jobs = {plan: render.options(user="42", plan=plan).job(1) for plan in PLANS}
    assert {plan: job.limits[0].concurrency for plan, job in jobs.items()} == PLANS
    assert render.options(user="42").job(1).limits == (Bound("render:user=42", 1),), "no plan is the free one"
    error = refused(lambda: render.options(plan="gold"), "plan")
    assert "free, basic, pro, enterprise" in str(error)


def test_without_a_free_plan_a_job_must_name_one(app: Windlass) -> None:
    @app.job(limits=[Limit(by="user", concurrency={"pro": 5}, rate={"pro": "5/s"})])
    async def render(n: int) -> None: ...

    assert render.options(user="42", plan="pro").job(1).limits == (Bound("render:user=42", 5, Rate(5, SECOND)),)
    refused(lambda: render.options(user="42").job(1), "plan")
    assert render.job(1).limits == (), "without a user there is nothing to limit"


def test_scopes_are_shared_by_kinds(app: Windlass) -> None:
    crm = Limit(by="tenant", concurrency=2, scope="crm")

    @app.job(limits=[crm])
    async def pull(tenant: str) -> None: ...

    @app.job(limits=[crm])
    async def push(tenant: str, item: int) -> None: ...

    assert pull.job("a").limits == push.job("a", 1).limits == (Bound("crm:tenant=a", 2),)


def test_two_rates_by_the_same_are_both_kept(app: Windlass) -> None:
    @app.job(limits=[Limit(by="user", rate="10/s"), Limit(by="user", rate="100/h")])
    async def send() -> None: ...

    assert send.options(user="u").job().limits == (
        Bound("send:user=u", None, Rate(10, SECOND)),
        Bound("send:user/2=u", None, Rate(100, 3_600 * SECOND)),
    )


BAD_LIMITS: dict[str, tuple[Callable[[], Any], str]] = {
    "nothing": (lambda: Limit(by="a"), "Limit"),
    "zero": (lambda: Limit(by="a", concurrency=0), "Limit.concurrency"),
    "negative": (lambda: Limit(by="a", concurrency=-1), "Limit.concurrency"),
    "bool": (lambda: Limit(by="a", concurrency=True), "Limit.concurrency"),
    "float": (lambda: Limit(by="a", concurrency=1.0), "Limit.concurrency"),  # type: ignore[arg-type]
    "text": (lambda: Limit(by="a", concurrency="2"), "Limit.concurrency"),  # type: ignore[arg-type]
    "rate": (lambda: Limit(by="a", rate="0/m"), "Limit.rate"),
    "window": (lambda: Limit(by="a", rate=(5, 0)), "Limit.rate"),
    "rate number": (lambda: Limit(by="a", rate=5), "Limit.rate"),  # type: ignore[arg-type]
    "burst alone": (lambda: Limit(by="a", concurrency=1, burst=2), "Limit.burst"),
    "burst": (lambda: Limit(by="a", rate="5/m", burst=0), "Limit.rate.burst"),
    "cost alone": (lambda: Limit(by="a", concurrency=1, cost=2), "Limit.cost"),
    "cost": (lambda: Limit(by="a", rate="5/m", cost=0), "Limit.cost"),
    "by": (lambda: Limit(by="a b", concurrency=1), "Limit.by"),
    "by nothing": (lambda: Limit(by="", concurrency=1), "Limit.by"),
    "by number": (lambda: Limit(by=5, concurrency=1), "Limit.by"),  # type: ignore[arg-type]
    "no plans": (lambda: Limit(by="a", concurrency={}), "Limit.concurrency"),
    "plan of 0": (lambda: Limit(by="a", concurrency={"free": 0}), "Limit.concurrency['free']"),
    "other plans": (lambda: Limit(by="a", concurrency={"x": 1}, rate={"y": "1/s"}), "Limit.concurrency"),
    "scope": (lambda: Limit(by="a", concurrency=1, scope="queue"), "Limit.scope"),
    "scope of a queue": (lambda: Limit(by="queue", concurrency=1, scope="x"), "Limit.scope"),
}


@pytest.mark.parametrize("what", BAD_LIMITS)
def test_bad_limits_are_refused_where_they_are_written(what: str) -> None:
    refused(*BAD_LIMITS[what])


BAD_OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "rate": ({"rate_limit": "0/m"}, "rate_limit"),
    "rate by plan": ({"rate_limit": {"free": "5/m"}}, "limits"),
    "concurrency": ({"concurrency": 0}, "concurrency"),
    "concurrency float": ({"concurrency": 2.0}, "concurrency"),
    "concurrency bool": ({"concurrency": True}, "concurrency"),
    "per user": ({"per_user_concurrency": -1}, "per_user_concurrency"),
    "per user plan": ({"per_user_concurrency": {"free": 0}}, "per_user_concurrency['free']"),
    "user rate": ({"per_user_rate": "10/0s"}, "per_user_rate"),
    "on_rate": ({"per_user_rate": "10/h", "on_rate": "wait"}, "on_rate"),
    "on_rate alone": ({"on_rate": "delay"}, "on_rate"),
    "limits": ({"limits": "tenant"}, "limits"),
    "a limit": ({"limits": Limit(by="to", concurrency=1)}, "limits"),
    "other things": ({"limits": ["to"]}, "limits"),
    "many": ({"limits": [Limit(by="to", rate=(1, n)) for n in range(1, 30)]}, "limits"),
    "unknown parameter": ({"limits": [Limit(by="tenant", concurrency=1)]}, "Limit.by"),
    "unknown cost": ({"limits": [Limit(by="to", rate="5/m", cost="size")]}, "Limit.cost"),
    "function": ({"limits": [Limit(by=lambda tenant: tenant, concurrency=1)]}, "Limit.by"),
    "builtin": ({"limits": [Limit(by=len, concurrency=1)]}, "Limit.by"),
    "twice": ({"limits": [Limit(by="to", concurrency=1), Limit(by="to", concurrency=2)]}, "limits"),
    "same window": ({"limits": [Limit(by="to", rate="1/s"), Limit(by="to", rate="2/s")]}, "limits"),
    "kind by plan": ({"limits": [Limit(by="kind", concurrency={"free": 1})]}, "limits"),
}


@pytest.mark.parametrize("what", BAD_OPTIONS)
def test_bad_declarations_are_refused(app: Windlass, what: str) -> None:
    given, field = BAD_OPTIONS[what]

    def declare() -> None:
        @app.job(**given)
        async def send(to: str) -> None: ...

    refused(declare, field)
    assert not app.handlers


def test_a_misspelt_parameter_is_suggested(app: Windlass) -> None:
    def declare() -> None:
        @app.job(limits=[Limit(by="tennant", concurrency=1)])
        async def send(tenant: str) -> None: ...

    assert "tenant" in str(refused(declare, "Limit.by").mend)


def test_queues_are_declared_once(app: Windlass) -> None:
    app.queue("mail", concurrency=10)
    app.queue("mail", concurrency=11, order="fair")
    assert app.capacity.queues["mail"].order == "fair"
    refused(lambda: app.capacity.queue("mail", {"concurrency": 3}, "elsewhere"), "queue")

    @app.job(queue="mail", limits=[Limit(by="queue", rate="5/m")])
    async def send() -> None: ...

    assert app.capacity.caps["queue:mail"].concurrency == 11
    assert app.capacity.caps["queue:mail"].rate == Rate(5, 60 * SECOND)

    def declare() -> None:
        @app.job(queue="mail", limits=[Limit(by="queue", concurrency=5)])
        async def other() -> None: ...

    refused(declare, "concurrency")
    assert "other" not in app.handlers
    assert app.capacity.caps["queue:mail"].concurrency == 11


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"order": "random"}, "order"),
        ({"order": "fair", "ageing": "1m"}, "ageing"),
        ({"ageing": 0}, "ageing"),
        ({"rate_limit": "0/m"}, "rate_limit"),
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": {"free": 1}}, "queue"),
        ({"burst": 5}, "burst"),
    ],
)
def test_bad_queues_are_refused(app: Windlass, given: dict[str, Any], field: str) -> None:
    refused(lambda: app.queue("mail", **given), field)
    with pytest.raises(InvalidOption, match="did you mean"):
        app.queue("mail", rate_limits="5/m")  # type: ignore[arg-type]


def test_promised_arguments_cannot_be_limited_by(app: Windlass) -> None:
    @app.job
    async def tenant_of(n: int) -> str:
        return str(n)

    @app.job(limits=[Limit(by="tenant", concurrency=1)])
    async def sync(tenant: str, page: int) -> None: ...

    @app.job(limits=[Limit(by=lambda tenant: tenant, concurrency=1)])
    async def other(tenant: str) -> None: ...

    promised = result_of(tenant_of.job(1))
    refused(lambda: sync.job(promised, 1), "Limit.by")
    refused(lambda: other.job(promised), "Limit.by")
    page = result_of(app.declare("pages", ["n"]).job(1))
    assert keys(sync.job("acme", page)) == ["sync:tenant=acme"]


def test_producers_without_the_code_know_the_limits(app: Windlass) -> None:
    @app.job(
        limits=[Limit(by="tenant", rate="5/m", cost="size"), Limit(by=lambda tenant: tenant, concurrency=1)],
        per_user_concurrency=PLANS,
        per_user_rate={"free": "1/h", "pro": "10/h"},
    )
    async def sync(tenant: str, size: int = 1) -> None: ...

    info = msgspec.json.decode(msgspec.json.encode(describe(sync)), type=KindInfo)
    elsewhere = Windlass("sqlite://:memory:")
    handler = elsewhere.kinds._from(info)
    assert elsewhere.quotas.rules["sync"].rate("pro") == Rate(10, 3_600 * SECOND)
    refused(lambda: handler.job("acme", 3), "Limit.by")
    without = msgspec.structs.replace(info, limits=tuple(rule for rule in info.limits if rule.by != "function"))
    handler = elsewhere.kinds._from(without)
    assert handler.options(user="u", plan="pro").job("acme", 3).limits == (
        Bound("sync:user=u", 5),
        Bound("sync:tenant=acme", None, Rate(5, 60 * SECOND), 3),
    )
    refused(lambda: handler.job("acme"), "Limit.cost")
