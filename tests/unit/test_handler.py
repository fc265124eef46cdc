"""Declaring kinds and saying options: what a handler makes of them, and what it refuses, naming the field."""

import functools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import msgspec
import pytest

import windlass
from windlass import (
    Context,
    DuplicateKind,
    Handler,
    InvalidArgs,
    InvalidOption,
    JobRef,
    NewJob,
    Priority,
    RetryPolicy,
    TooLarge,
    Unique,
    Windlass,
    exponential,
    fixed,
)
from windlass.values.failure import Category
from windlass.values.job import Edge, UniqueKey


@pytest.fixture
def app() -> Windlass:
    return Windlass("sqlite://:memory:")


def refused(call: Callable[[], Any], field: str) -> InvalidOption:
    with pytest.raises(InvalidOption) as caught:
        call()
    assert caught.value.field == field, caught.value
    assert caught.value.limit
    assert caught.value.mend
    return caught.value


def test_a_decorated_function_stays_the_function_it_was(app: Windlass) -> None:
    @app.job
    def add(a: int, b: int = 2) -> int:
        """Adds."""
        return a + b

    assert add(1) == 3
    assert add.__name__ == "add"
    assert add.__doc__ == "Adds."
    assert isinstance(add, Handler)
    assert app.handlers == {"add": add}


def test_the_runtime_follows_the_function(app: Windlass) -> None:
    @app.job
    async def a(ctx: Context, x: int) -> None: ...
    @app.job
    def b(x: int) -> None: ...

    assert (a.runtime, a.takes_context, b.runtime, b.takes_context) == ("async", True, "thread", False)
    assert importable.runtime == "process"
    refused(lambda: app.job(runtime="process")(lambda: None), "kind")

    def local() -> None: ...
    async def coroutine() -> None: ...

    assert "cannot be imported" in str(refused(lambda: app.job(runtime="process")(local), "runtime"))
    refused(lambda: app.job(runtime="async")(local), "runtime")
    refused(lambda: app.job(runtime="thread")(coroutine), "runtime")


module_app = Windlass("sqlite://:memory:")


@module_app.job(runtime="process")
def importable() -> None: ...


def test_what_is_no_job_is_refused(app: Windlass) -> None:
    def generator() -> Any:
        yield 1

    async def agenerator() -> Any:
        yield 1

    refused(lambda: app.job(generator), "fn")
    refused(lambda: app.job(agenerator), "fn")
    refused(lambda: app.job(3), "fn")  # type: ignore[call-overload]


def test_a_sync_adaptor_of_a_coroutine_function_is_sync(app: Windlass) -> None:
    async def inner(a: int) -> int:
        return a

    @functools.wraps(inner)
    def adaptor(a: int) -> int:
        return a

    assert app.job(adaptor).runtime == "thread"


def test_handler_options_reach_the_job(app: Windlass) -> None:
    @app.job(
        kind="mail",
        queue="email",
        priority=Priority.HIGH,
        max_attempts=5,
        backoff=exponential("2s", jitter=0),
        timeout="30s",
        errors={ValueError: "permanent"},
        max_rescues=1,
        tags=["a", "b", "a"],
        expires="1h",
        unique=Unique(args=("to",), until="started", on_conflict="replace"),
        version=2,
        upcast={1: lambda old: {"to": old["address"]}},
    )
    def send(to: str) -> None: ...

    job = send.job("x")
    assert (job.kind, job.queue, job.priority, job.max_attempts) == ("mail", "email", 5, 5)
    assert (job.tags, job.expires_in, job.runtime) == (("a", "b"), 3_600_000_000, "thread")
    assert msgspec.json.decode(job.options) == {"version": 2}
    assert job.unique is not None
    assert (job.unique.until, job.unique.on_conflict) == ("started", "replace")
    rules = send.rules(job.options)
    assert (rules.timeout, rules.run.max_rescues, rules.version) == (30.0, 1, 2)
    assert rules.run.backoff(2) == 4.0
    assert rules.run.errors == {ValueError: "permanent"}
    assert send.rules(job.options) is rules


@pytest.mark.parametrize(
    "retry",
    [
        RetryPolicy(max_attempts=4, backoff=fixed("2s")),
        {"attempts": 4, "backoff": {"type": "fixed", "delay": 2000, "jitter": 0}},
        {"type": "fixed", "delay": 2000, "maxAttempts": 4, "jitter": 0},
    ],
)
def test_all_spellings_of_retry(app: Windlass, retry: Any) -> None:
    @app.job(retry=retry)
    def f() -> None: ...

    assert f.job().max_attempts == 4
    assert f.rules("").run.backoff(3) == 2.0


BAD_HANDLER_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"queue": "a b"}, "queue"),
    ({"kind": ""}, "kind"),
    ({"priority": 101}, "priority"),
    ({"max_attempts": 0}, "max_attempts"),
    ({"backoff": 5}, "backoff"),
    ({"retry": 3}, "retry"),
    ({"retry": {"attempts": 3}, "max_attempts": 2}, "retry"),
    ({"timeout": 0}, "timeout"),
    ({"timeout": "soon"}, "timeout"),
    ({"errors": {"ValueError": "permanent"}}, "errors"),
    ({"errors": {ValueError: "sometimes"}}, "errors"),
    ({"errors": 3}, "errors"),
    ({"max_rescues": -1}, "max_rescues"),
    ({"tags": "urgent"}, "tags"),
    ({"tags": ["a b"]}, "tags"),
    ({"expires": -1}, "expires"),
    ({"unique": 5}, "unique"),
    ({"unique": ""}, "unique"),
    ({"unique": "\ud800"}, "unique"),
    ({"unique": Unique(key="a", args=("b",))}, "unique"),
    ({"unique": Unique(until="sometime")}, "unique.until"),
    ({"version": 0}, "version"),
    ({"version": 1, "upcast": {1: dict}}, "upcast"),
    ({"runtime": "fiber"}, "runtime"),
    ({"prioritty": 1}, "prioritty"),
]


@pytest.mark.parametrize(("options", "field"), BAD_HANDLER_OPTIONS, ids=[field for _, field in BAD_HANDLER_OPTIONS])
def test_bad_handler_options_are_refused_at_decoration(app: Windlass, options: dict[str, Any], field: str) -> None:
    def f() -> None: ...

    refused(lambda: app.job(**options)(f), field)
    assert app.handlers == {}


BAD_JOB_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"delay": -1}, "delay"),
    ({"delay": float("nan")}, "delay"),
    ({"delay": True}, "delay"),
    ({"delay": 1, "run_at": datetime(2030, 1, 1, tzinfo=UTC)}, "delay"),
    ({"run_at": datetime(2030, 1, 1)}, "run_at"),
    ({"run_at": "tomorrow"}, "run_at"),
    ({"priority": 1.5}, "priority"),
    ({"priority": True}, "priority"),
    ({"backoff": lambda attempt: 1}, "backoff"),
    ({"user": "a b"}, "user"),
    ({"user": 7}, "user"),
    ({"plan": "x" * 201}, "plan"),
    ({"after": "id"}, "after"),
    ({"after": [3]}, "after"),
    ({"on_failure": "explode"}, "on_failure"),
    ({"expires": datetime(2030, 1, 1)}, "expires"),
    ({"dely": "5m"}, "dely"),
    ({"kind": "x"}, "kind"),
]


@pytest.mark.parametrize(("options", "field"), BAD_JOB_OPTIONS, ids=[field for _, field in BAD_JOB_OPTIONS])
def test_bad_job_options_are_refused_at_once(app: Windlass, options: dict[str, Any], field: str) -> None:
    @app.job
    def f() -> None: ...

    refused(lambda: f.options(**options), field)


def test_job_options_reach_the_job_and_leave_the_handler_alone(app: Windlass) -> None:
    @app.job(queue="a", tags=["t"])
    def f(x: int = 1) -> None: ...

    parent = f.job()
    at = datetime(2030, 1, 1, tzinfo=UTC)
    mine = f.options(
        queue="b",
        priority=10,
        delay=timedelta(minutes=5),
        max_attempts=7,
        backoff=fixed(3),
        timeout=9,
        max_rescues=2,
        expires=at,
        unique="k",
        user="42",
        project="shop",
        plan="pro",
        group="g",
        name="n",
        tags=["u"],
        after=[parent, JobRef("p2"), "p3", "p3"],
        on_failure="run",
    )
    job = mine.options(priority=-100).job()
    assert (job.queue, job.priority, job.delay, job.run_at) == ("b", -100, 300_000_000, None)
    assert (job.expires_at, job.expires_in, job.unique) == (1_893_456_000_000_000, None, UniqueKey(key="k"))
    assert (job.user, job.project, job.group, job.name, job.tags) == ("42", "shop", "g", "n", ("u",))
    assert job.after == tuple(Edge(id, "run") for id in (parent.id, "p2", "p3"))
    rules = mine.rules(job.options)
    assert (rules.timeout, rules.run.max_rescues, rules.plan, rules.run.backoff(9)) == (9.0, 2, "pro", 3.0)
    later = mine.options(run_at=at).job()
    assert (later.delay, later.run_at) == (None, 1_893_456_000_000_000)
    plain = f.job()
    assert (plain.queue, plain.options, plain.after, plain.tags) == ("a", "", (), ("t",))
    assert not callable(mine)
    assert mine.options(timeout=None).job().options == job.options  # type: ignore[typeddict-item]


def test_unique_keys_by_argument(app: Windlass) -> None:
    @app.job(unique=Unique(args=("to",)))
    def mail(to: dict[str, int], note: str = "") -> None: ...

    def key(handler: Handler[..., Any], *args: Any) -> str:
        unique = handler.job(*args).unique
        assert unique is not None
        return unique.key

    assert key(mail, {"a": 1, "b": 2}, "x") == key(mail, {"b": 2, "a": 1}, "y")
    assert key(mail, {"a": 1}) != key(mail, {"a": 2})
    every = mail.options(unique=Unique())
    assert key(every, {"a": 1}, "x") != key(every, {"a": 1}, "y")
    assert key(mail.options(unique=Unique(args=())), {"a": 1}) == key(mail.options(unique=Unique(args=())), {"a": 2})
    period = mail.options(unique=Unique(key="k", until="1h")).job({}).unique
    assert period == UniqueKey(key="k", until="period", ttl=3_600_000_000)
    refused(lambda: mail.options(unique=Unique(args=("cc",))).job({}), "unique")


def test_ids_are_ordered_and_distinct(app: Windlass) -> None:
    @app.job
    def f() -> None: ...

    ids = [f.job().id for _ in range(10_000)]
    assert ids == sorted(set(ids))


def test_kinds_are_named_once(app: Windlass) -> None:
    def declare(offset: int) -> Any:
        def same() -> int:
            return offset

        return app.job(same)

    first, second = declare(1), declare(2)
    assert app.handlers["same"] is second is not first

    def other() -> None: ...

    with pytest.raises(DuplicateKind) as caught:
        app.job(kind="same")(other)
    text = str(caught.value)
    assert "declare.<locals>.same" in text
    assert "<locals>.other" in text
    assert __name__ in text


def test_results_are_encoded_within_the_limit(app: Windlass) -> None:
    app = Windlass("sqlite://:memory:", result_limit=1_024, args_limit="2KiB")

    @app.job
    def f(x: Any = None) -> None: ...

    assert f.encode_result(None) is None
    assert f.encode_result({"at": datetime(2030, 1, 1, tzinfo=UTC)}) == '{"at":"2030-01-01T00:00:00Z"}'
    with pytest.raises(TooLarge) as large:
        f.encode_result("x" * 1_023)
    assert (large.value.field, large.value.limit) == ("result", 1_024)
    with pytest.raises(InvalidArgs) as unfit:
        f.encode_result({"rows": [1, float("nan")]})
    assert unfit.value.field == "result.rows[1]"
    with pytest.raises(TooLarge, match="2,048"):
        f.job("x" * 2_048)


def test_payload_versions_are_raised_step_by_step(app: Windlass) -> None:
    @app.job(
        version=3,
        upcast={1: lambda old: {"name": old["n"]}, 2: lambda old: {"first": old["name"], "last": ""}},
    )
    def f(first: str, last: str) -> None: ...

    assert f.decode('{"n":"x"}', 1) == (("x", ""), {})
    assert f.decode('{"name":"x"}', 2) == (("x", ""), {})
    assert f.decode('{"first":"x","last":"y"}', 3) == (("x", "y"), {})
    with pytest.raises(InvalidArgs, match="version 4") as newer:
        f.decode("{}", 4)
    assert (newer.value.found, newer.value.known) == (4, 3)


def test_errors_may_be_a_function(app: Windlass) -> None:
    @app.job(errors=lambda error: Category.PERMANENT)
    def f() -> None: ...

    assert f.rules("").run.errors(ValueError()) is Category.PERMANENT


def test_a_job_is_a_value(app: Windlass) -> None:
    @app.job
    def f(a: int) -> None: ...

    job = f.job(1)
    assert isinstance(job, NewJob)
    assert msgspec.json.decode(msgspec.json.encode(job), type=NewJob) == job


@pytest.mark.parametrize("name", ["delay", "apply_async", "send"])
def test_names_of_other_queues_are_answered_with_enqueue(app: Windlass, name: str) -> None:
    @app.job
    def f(a: int) -> None: ...

    for each in (f, f.options(delay="5m")):
        with pytest.raises(AttributeError, match=rf"no attribute '{name}'.*\.enqueue\("):
            getattr(each, name)
    with pytest.raises(AttributeError, match=r"no attribute 'frob'$"):
        getattr(f, "frob")  # noqa: B009


@pytest.mark.parametrize("name", ["max_retries", "retries"])
def test_retries_are_answered_with_attempts(app: Windlass, name: str) -> None:
    @app.job
    def f() -> None: ...

    options: Any = {name: 3}
    for refuse in (lambda: f.options(**options), lambda: app.job(**options)(print)):
        with pytest.raises(InvalidOption, match="did you mean 'max_attempts'") as caught:
            refuse()
        assert "first run" in str(caught.value.facts["mend"])


def test_the_version_is_the_package_s() -> None:
    assert windlass.__version__ == version("windlass")
