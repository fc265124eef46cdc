"""Spans as OpenTelemetry's own SDK records them: one trace from who enqueues to the last attempt, in any runtime."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from windlass import Context, JobFailed, Snooze, Windlass, chain, fixed
from windlass.observe.tracing import trace_app


class Recorded:
    """An app that is traced, and the spans so far."""

    def __init__(self, app: Windlass) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("tests")
        trace_app(app, self.provider)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span


@pytest.fixture
def recorded(app: Windlass) -> Recorded:
    return Recorded(app)


def above(child: ReadableSpan, parent: ReadableSpan) -> bool:
    return (
        child.parent is not None
        and child.context.trace_id == parent.context.trace_id
        and child.parent.span_id == parent.context.span_id
    )


async def test_an_attempt_is_under_its_enqueue(app: Windlass, recorded: Recorded) -> None:
    @app.job(kind="mail.send", queue="mail")
    async def send(to: str) -> str:
        with recorded.tracer.start_as_current_span("smtp"):
            await asyncio.sleep(0)
        return to

    async with app:
        with recorded.tracer.start_as_current_span("request"):
            ref = await send.enqueue("ann")
        await app.drain()
        assert await ref.result() == "ann"
    request, enqueue, run, smtp = (recorded.one(n) for n in ("request", "enqueue mail.send", "run mail.send", "smtp"))
    assert above(enqueue, request) and above(run, enqueue) and above(smtp, run)
    assert (enqueue.kind, run.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    told = dict(run.attributes or {})
    assert told["messaging.destination.name"] == "mail"
    assert told["messaging.message.id"] == ref.id
    assert (told["windlass.attempt"], told["windlass.outcome"]) == (1, "complete")
    assert run.status.status_code is StatusCode.UNSET


async def test_each_attempt_has_a_span(app: Windlass, recorded: Recorded) -> None:
    @app.job(kind="flaky", max_attempts=2, backoff=fixed(0))
    def flaky() -> None:
        raise ValueError("no")

    async with app:
        ref = await flaky.enqueue()
        while not (await ref.job()).is_final:
            await app.drain()
        with pytest.raises(JobFailed):
            await ref.result()
    enqueue, attempts = recorded.one("enqueue flaky"), recorded.named("run flaky")
    assert [dict(span.attributes or {})["windlass.attempt"] for span in attempts] == [1, 2]
    assert all(above(span, enqueue) for span in attempts)
    assert all(span.status.status_code is StatusCode.ERROR for span in attempts)
    assert attempts[0].events[0].name == "exception"


async def test_a_snooze_is_no_error(app: Windlass, recorded: Recorded) -> None:
    @app.job(kind="later")
    async def later() -> None:
        raise Snooze("1h")

    async with app:
        await later.enqueue()
        await app.drain()
    span = recorded.one("run later")
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes or {})["windlass.outcome"] == "snooze"


async def test_many_jobs_share_one_enqueue(app: Windlass, recorded: Recorded) -> None:
    @app.job(kind="n", runtime="thread")
    def n(i: int) -> int:
        return i

    async with app:
        await app.enqueue_many([n.job(i) for i in range(20)])
        await app.enqueue_many((n.job(i) for i in range(20)), atomic=False)
        await app.drain()
    sends, runs = recorded.named("enqueue"), recorded.named("run n")
    assert (len(sends), len(runs)) == (2, 40)
    for send in sends:
        assert sum(above(run, send) for run in runs) == 20


async def test_jobs_that_jobs_make(app: Windlass, recorded: Recorded) -> None:
    @app.job(kind="child")
    async def child() -> None: ...

    @app.job(kind="parent")
    async def parent(ctx: Context) -> None:
        ctx.enqueue(child)

    async with app:
        await parent.enqueue()
        await app.drain()
    assert above(recorded.one("run child"), recorded.one("run parent"))


async def test_a_workflow_is_one_trace(app: Windlass, recorded: Recorded) -> None:
    @app.job(kind="step")
    async def step(n: int) -> int:
        return n

    async with app:
        await app.run(chain(step.job(1), step.job(2), step.job(3)))
        while not all(not n for state, n in (await app.queues.stats())["default"].items() if state in _OPEN):
            await app.drain()
    send, runs = recorded.one("enqueue"), recorded.named("run step")
    assert len(runs) == 3 and all(above(run, send) for run in runs)


_OPEN = ("waiting", "blocked", "active")


async def test_runs_at_the_same_time_do_not_mix(app: Windlass, recorded: Recorded) -> None:
    @app.job(kind="busy")
    async def busy(n: int) -> None:
        with recorded.tracer.start_as_current_span(f"inner {n}"):
            for _ in range(5):
                await asyncio.sleep(0)

    async with app:
        refs = [await busy.enqueue(n) for n in range(20)]
        await app.drain()
    runs: dict[Any, ReadableSpan] = {
        dict(run.attributes or {})["messaging.message.id"]: run for run in recorded.named("run busy")
    }
    for n, ref in enumerate(refs):
        assert above(recorded.one(f"inner {n}"), runs[ref.id])


async def test_what_is_no_job_is_refused_as_ever(app: Windlass, recorded: Recorded) -> None:
    plain = Windlass("sqlite://:memory:")
    async with app, plain:
        for wrong in ("text", 5, [5]):
            with pytest.raises(Exception) as usual:
                await plain.enqueue_many(wrong)  # type: ignore[arg-type]
            with pytest.raises(type(usual.value)):
                await app.enqueue_many(wrong)  # type: ignore[arg-type]
