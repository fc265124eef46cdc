"""The types of the public API: checked by basedpyright strict and mypy --strict, never run (see `test_types.py`)."""

from collections.abc import AsyncIterator, Generator
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from windlass import (
    Cache,
    Chunk,
    Context,
    DeadLetter,
    Delivery,
    FlowGraph,
    Handler,
    Job,
    JobEvent,
    JobRef,
    Keep,
    KeyLimit,
    Limit,
    NewJob,
    Page,
    Price,
    Priority,
    PriorityRule,
    Provider,
    RetryPolicy,
    Schedule,
    StepRecord,
    Unique,
    Windlass,
    Workflow,
    WorkflowRef,
    batch,
    chain,
    debounce,
    exponential,
    group,
    providers,
    ranking,
    result_of,
    testing,
    throttle,
)
from windlass.observe.costs import Estimate
from windlass.observe.figures import Metrics
from windlass.observe.users import UserMetrics
from windlass.operate.audit import Act
from windlass.operate.errors import ErrorFacts
from windlass.operate.history import Happened
from windlass.operate.letter_stats import LetterStats
from windlass.operate.views import Acted
from windlass.providers.breakers import BreakerInfo

app = Windlass()
other = Windlass("sqlite:///jobs.db", namespace="shop", lease="2s")


@app.job(
    queue="email-sending",
    priority=Priority.HIGH,
    backoff=exponential("2s", factor=2, cap="5m", jitter=0.2),
    timeout="30s",
    errors={ValueError: "permanent"},
    unique=Unique(args=("to",)),
)
async def send_email(ctx: Context, to: str, subject: str = "Welcome") -> dict[str, str]:
    await ctx.progress(50, "rendered")
    await ctx.log("sent", level="info")
    return {"to": to, "subject": subject}


@app.schedule(every="5m", key="adding", args=(1, 2), jitter="10s")
@app.schedule("0 6 * * *", timezone="Europe/Berlin", kwargs={"a": 1, "b": 2}, overlap="queue")
@app.job
def add(a: int, b: int) -> int:
    return a + b


@app.job
async def fetch(url: str) -> bytes:
    return url.encode()


@app.job
async def with_context(ctx: Context, n: int) -> str:
    return str(n + ctx.attempt)


@app.job(kind="resize", runtime="process", retry=RetryPolicy(max_attempts=2))
def resize(ctx: Context, path: str) -> str:
    ctx.progress(10, "no await in a plain def")
    return path


def region(tenant: str) -> str:
    return tenant[:2]


def effort(pages: int) -> int:
    return pages * 2


@app.job(
    limits=[
        Limit(by="tenant", rate="10/s", burst=20, concurrency=2, cost="pages"),
        Limit(by=region, rate=(10, 3600), cost=effort, scope="crm"),
        Limit(
            by="user", rate={"free": "1/s", "pro": {"max": 10, "window": 3_600_000}}, concurrency={"free": 1, "pro": 5}
        ),
    ],
    rate_limit="5/m",
    concurrency=2,
    per_user_concurrency={"free": 1, "basic": 2, "pro": 5, "enterprise": 10},
    per_user_rate={"max": 10, "window": 3_600_000},
    on_rate="delay",
)
async def crawl(tenant: str, pages: int = 1) -> int:
    return pages


@app.job(per_user_concurrency=2, per_user_rate=("10/h"))
async def render(n: int) -> None: ...


app.queue("email-sending", rate_limit="100/m", concurrency=10, order="fair")
app.queue("slow", order="ageing", ageing="30s")


async def limits() -> None:
    assert_type(await crawl.options(group="a", weight=3, cost=2, user="42", plan="pro").enqueue("a"), JobRef[int])
    assert_type(await app.limits.get("kind:crawl"), KeyLimit | None)
    assert_type(await app.limits.list(), list[KeyLimit])
    assert_type((await app.limits.put("kind:crawl", rate="5/m", concurrency=2, shut_for="1m")).held, int)
    assert_type(await app.limits.clear("kind:crawl"), bool)
    assert_type((await app.limits.status(user="42", kind="render"))["reset_at"], datetime)
    assert_type((await app.queues.set("slow", order="weighted")).name, str)


openai = Provider("openai", cost=lambda answer: len(answer) / 1e6, in_a_row=3)
models = providers.Chain([openai, "local"])
app.priority_rules = [*ranking.BY_PLAN, *ranking.BY_TAG]


async def ask(provider: Provider, prompt: str) -> str:
    return provider.name + prompt


@app.job(
    priority_rules=[
        PriorityRule("large", Priority.LOW, args={"n": lambda n: n > 9}),
        PriorityRule("test", shift=-1, tags="test", when=lambda args: "n" in args),
    ],
    cache=Cache("10m", per_user=True),
    provider=openai,
    deadline="5m",
    unique=debounce("5s", max_wait="1m", args=("n",)),
)
async def ruled(ctx: Context, n: int) -> str:
    return await models.call(ask, str(n))


async def flow_control() -> None:
    ref = await ruled.options(
        deadline=datetime(2030, 1, 1, tzinfo=UTC), skip_cache=True, provider="local", unique=throttle("1h", key="k")
    ).enqueue(1)
    assert_type(ref.cached, bool)
    assert_type((await ref.job()).cached, str | None)
    assert_type(await app.cache.clear("ruled"), int)
    assert_type(await app.breakers.list(), list[BreakerInfo])
    assert_type((await app.breakers.open("openai", "10m")).waiting, bool)
    assert_type((await app.jobs.explain(ref)).estimate, float | None)
    assert_type(await models.call(ask, prompt="x"), str)


@app.job(version=2, upcast={1: lambda old: {"a": old["x"]}})
def versioned(a: int) -> None: ...


async def call() -> None:
    assert_type(add(1, 2), int)
    assert_type(await fetch("u"), bytes)


async def direct(ctx: Context) -> None:
    assert_type(await send_email(ctx, "a"), dict[str, str])
    assert_type(resize(ctx, "p"), str)


async def enqueue() -> None:
    async with app as opened:
        assert_type(opened, Windlass)
        ref = await add.enqueue(1, b=2)
        assert_type(ref, JobRef[int])
        assert_type(ref.created, bool)
        assert_type(await ref.result(timeout=10), int)
        assert_type(await send_email.enqueue("a", subject="b"), JobRef[dict[str, str]])
        assert_type(await with_context.enqueue(1), JobRef[str])
        assert_type(await resize.enqueue("p"), JobRef[str])
        refs = await app.enqueue_many([add.job(i, i) for i in range(1000)])
        assert_type(refs, list[JobRef[int]])
        assert_type(await app.enqueue_many((add.job(i, i) for i in range(9)), atomic=False), list[JobRef[int]])
        later = await send_email.options(
            delay="5m",
            priority=10,
            unique="welcome:42",
            user="42",
            project="shop",
            plan="pro",
            group="g",
            tags=["urgent"],
            after=[ref, add.job(1, 2), "id"],
            on_failure="run",
            expires=timedelta(hours=1),
        ).enqueue("a@example.com")
        assert_type(later, JobRef[dict[str, str]])
        assert_type(await add.options(run_at=datetime(2030, 1, 1, tzinfo=UTC)).enqueue(1, 2), JobRef[int])
        await app.enqueue("add", 3, b=4)
        assert_type(await app.enqueue(add, 3, b=4), JobRef[int])
        assert_type(await app.enqueue("add", 3), JobRef[Any])
        await app.kind("resize").options(delay="1h").enqueue("p")
        handler: Handler[[int, int], int] = add
        job: NewJob[int] = handler.job(1, 2)
        assert_type(await app.submit(job), JobRef[int])


@app.job
def done(ctx: Context) -> float:
    assert_type(ctx.parents.one(add), int)
    assert_type(ctx.parents.all(fetch), list[bytes])
    assert_type(ctx.enqueue(add, 1, 2), JobRef[int])
    return 1.0


@app.job
async def rows(items: list[int]) -> None: ...


async def workflows() -> None:
    assert_type(chain(add.job(1, 2), fetch.job("u"), resize.job("p")), Workflow[str])
    ref = await app.run(chain(add.job(1, 2), send_email.job("x")))
    assert_type(ref, WorkflowRef[dict[str, str]])
    assert_type(await ref.result(timeout="1m"), dict[str, str])
    assert_type(app.sync.run(app.run(add.job(1, 2))), WorkflowRef[int])
    assert_type(app.sync.result(ref), dict[str, str])
    assert_type(group(add.job(1, 2), fetch.job("u")), Workflow[tuple[int, bytes]])
    assert_type(group(*[add.job(i, i) for i in range(9)]), Workflow[tuple[int, ...]])
    assert_type(chain(group(add.job(1, 2), add.job(2, 3)), done.job()).named("n"), Workflow[float])
    assert_type(batch((add.job(i, i) for i in range(10_000)), then=done.job()), Workflow[float])
    assert_type(batch([add.job(1, 2), chain(add.job(1, 2))], on_failure=done.job()), Workflow[None])
    assert_type(batch(range(99), each=rows, chunk=10, then=done.job()), Workflow[float])
    assert_type(add.job(result_of(add.job(1, 2)), b=2), NewJob[int])
    assert_type(await app.workflows.get(ref.id), FlowGraph)
    await app.workflows.retry(ref.id)


async def operate(ref: JobRef[int]) -> None:
    assert_type(await app.jobs.get(ref.id), Job)
    assert_type(await app.jobs.list(state="failed", queue="a", limit=5), Page[Job])
    assert_type(await ref.job(), Job)
    count: int = await app.jobs.cancel(ref.id, actor="ada")
    assert_type((await app.jobs.requeue(ids=[ref, "b"])).refused["b"], str)
    assert_type(await app.queues.stats(), dict[str, dict[str, int]])
    await app.queues.pause("a")
    assert_type(await app.drain(), int)
    await app.worker(["a"], concurrency=10, lease="30s").run()
    print(count)


@app.job
async def durable(ctx: Context, n: int) -> str:
    assert_type(await ctx.step("double", doubled, n), int)
    assert_type(await ctx.step("text", str, n), str)
    await ctx.sleep("1h")
    return str(await ctx.wait_for("approval", timeout=timedelta(days=2)))


@app.job
def durable_in_a_thread(ctx: Context) -> int:
    ctx.sync.sleep(5)
    return ctx.sync.step("length", len, "text")


async def doubled(n: int) -> int:
    return n * 2


@app.job(slice="30s")
async def export(ctx: Context, table: str) -> AsyncIterator[int]:
    yield ctx.cursor or 0


@app.job
def exported(ctx: Context, table: str) -> Generator[int, None, str]:
    yield 1
    return table


@app.job(chunk=100, chunk_wait="50ms")
async def embed(chunk: Chunk[str, list[float]]) -> list[list[float]]:
    for item in chunk:
        item.done([1.0])
    return [[float(len(text))] for text in chunk.values]


async def shapes(ref: JobRef[int]) -> None:
    assert_type(await durable.enqueue(1), JobRef[str])
    assert_type(await durable_in_a_thread.enqueue(), JobRef[int])
    assert_type(await export.enqueue("orders"), JobRef[None])
    assert_type(await exported.enqueue("orders"), JobRef[str])
    assert_type(await embed.enqueue("text"), JobRef[list[float]])
    assert_type(await app.jobs.signal(ref, "approval", {"by": "ann"}), Delivery)
    assert_type(app.sync.signal("id", "approval"), Delivery)
    assert_type(await app.jobs.steps(ref), list[StepRecord])


async def plan(at: datetime) -> None:
    made = await app.schedules.put("nightly", add.job(1, 2), cron="0 2 * * *", timezone="UTC", missed="skip")
    assert_type(made, Schedule)
    await app.schedules.put("once", add.job(1, 2), at=at, actor="ada")
    assert_type(await app.schedules.list(), list[Schedule])
    assert_type(await app.schedules.history("nightly"), Page[Job])
    assert_type((await app.schedules.preview("nightly", 3))[0].at, datetime)
    assert_type(await app.schedules.trigger("nightly"), JobRef[Any])


app.queue("kept", keep=Keep(completed="1h", keep_failed=50), price=Price(second="0.1"), dead_retries=("15m", 3_600))


@app.on("failed", "completed", queue="mail", kind=["a", "b"])
async def hear(event: JobEvent) -> None:
    assert_type(event.error is None, bool)


@app.job(price=Price(base="0.001", gb_second=0.1), dead_retries=("15m",))
async def priced(ctx: Context, n: int) -> int:
    ctx.cost("0.5")
    return n


async def mend(ref: JobRef[int]) -> None:
    assert_type(await app.dead_letters.list(queue="mail", archived=False), Page[DeadLetter])
    assert_type(await app.dead_letters.get(ref), DeadLetter)
    assert_type(await app.dead_letters.stats(), LetterStats)
    assert_type(await app.dead_letters.requeue(ref, args={"n": 1}), Acted)
    assert_type(await app.dead_letters.replay(kind="mail.*", per_second=5), JobRef[None])
    assert_type(await app.errors.list(new=True), list[ErrorFacts])
    assert_type(await app.audit(actor="ada"), Page[Act])
    assert_type(await app.jobs.history(ref), list[Happened])
    assert_type(await app.metrics(last="30d"), Metrics)
    assert_type(await app.metrics(user="42"), UserMetrics)
    assert_type(await priced.estimate(), Estimate)
    assert_type(await priced(Context.detached(), 1), int)
    await hear(JobEvent(event="failed", at=datetime.now(UTC), worker="w"))


def block(ref: JobRef[int]) -> None:
    assert_type(app.sync.enqueue(add, 1, 2), JobRef[int])
    assert_type(app.sync.enqueue(send_email.options(delay=5), "x"), JobRef[dict[str, str]])
    assert_type(app.sync.enqueue_many([add.job(1, 2)]), list[JobRef[int]])
    assert_type(app.sync.result(ref), int)
    assert_type(app.sync.run(app.jobs.get("x")).id, str)


async def test() -> None:
    async with testing.sandbox(app, now=datetime(2030, 1, 1, tzinfo=UTC)) as box:
        box.assert_enqueued(send_email, to="a", count=1)
        assert_type(await box.drain(), int)
        assert_type(await box.advance("1h"), int)
    assert_type(await testing.run(send_email, "a", attempt=2), testing.Ran)
