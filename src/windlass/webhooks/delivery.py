"""The jobs that send: a delivery to one endpoint, the look whether a workflow is over, the sweep for ends without a worker."""

import asyncio
import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from windlass.declare.bounds import Limit
from windlass.declare.handler import Handler
from windlass.declare.unique import Unique
from windlass.errors import JobNotFound, WindlassError
from windlass.operate.shelf import Shelf
from windlass.outbound import AddressRefused, Clients, NameNotFound, require_client
from windlass.running.context import Context
from windlass.store.protocol import Store
from windlass.values.clock import SECOND, Micros, instant, moment
from windlass.values.failure import retry_after, safe_text
from windlass.values.job import Job, NewJob
from windlass.values.outcome import Cancel, Retry
from windlass.values.query import Swap, Where
from windlass.values.states import FINAL, State
from windlass.webhooks import signing
from windlass.webhooks.endpoint import SPACE, Endpoint
from windlass.webhooks.messages import Message, body, encoded, of_job, settled_id
from windlass.webhooks.relay import QUEUE, RESCUES, delivery, look
from windlass.workflows.flow import FlowGraph

if TYPE_CHECKING:
    import httpx2

    from windlass.app import Windlass

log = logging.getLogger("windlass.webhooks")

DELIVER, FLOW, SWEEP = "windlass.webhook", "windlass.webhook-flow", "windlass.webhook-sweep"
WAITS = (5, 30, 120, 600, 1_800, 7_200, 21_600, 43_200)
"""Seconds between tries: nine tries in a day."""
GIVE_UP = timedelta(days=5)
"""An endpoint at which nothing arrived for so long is switched off."""
AT_ONCE = 10
"""Deliveries to one endpoint at a time: a slow one holds up only itself."""
_TIMEOUT = 15.0
_LONGEST_REPLY = 1_000
_OVERLAP: Micros = 60 * SECOND
"""How far a sweep looks back behind the last one: ends are committed a moment after their time was taken."""
_SWEPT = "webhook-swept"
_PAGE = 500

_READ = msgspec.json.Decoder(Message)


class DeliveryFailed(WindlassError):
    """`status`: what the receiver answered, None if it did not; `reply`: the beginning of its answer."""

    code = "delivery-failed"


class Install:
    """The handlers of webhooks in one app, made once."""

    def __init__(self, app: "Windlass") -> None:
        self._app = app
        self._shelf = Shelf(app.store, SPACE, Endpoint)
        self._clients = Clients(lambda: app.settings.webhook_networks, _TIMEOUT)
        job = app.job
        self.deliver: Handler[..., Any] = job(
            kind=DELIVER,
            queue=QUEUE,
            max_attempts=len(WAITS) + 1,
            backoff=_wait,
            timeout="1m",
            max_rescues=RESCUES,
            limits=[Limit(by="endpoint", concurrency=AT_ONCE)],
        )(self._deliver)
        self.flow: Handler[..., Any] = job(kind=FLOW, queue=QUEUE, unique=Unique(until="started"), max_rescues=RESCUES)(
            self._flow
        )
        self.sweep: Handler[..., Any] = job(kind=SWEEP, queue=QUEUE, max_attempts=1, timeout="5m")(self._sweep)

    async def tell(self, message: Message, at: Micros, *, about: str) -> int:
        """Send a message to all that want it, once, however often it is told; how many those are."""
        found = await self._shelf.all()
        jobs = [
            delivery(self.deliver, each.id, encoded(message), settled_id(each.id, message.type, about, at=at))
            for each in found.values()
            if each.wants(message.type, message.queue, message.kind)
        ]
        if jobs:
            await self._app.enqueue_many(jobs)
        return len(jobs)

    # sending

    async def _deliver(self, ctx: Context, endpoint: str, message: str) -> dict[str, Any]:
        """Send one message to one endpoint."""
        found = await self._shelf.get(endpoint)
        if found is None or not found.active:
            raise Cancel("the endpoint is gone" if found is None else "the endpoint is switched off")
        event = _READ.decode(message)
        event = event if event.at else replace(event, at=ctx.job.created_at)
        job, closed = await self._subject(event)
        text = body(ctx.job.id, event, job, found, closed=closed)
        try:
            answer = await self._post(found, ctx.job.id, text)
        except (DeliveryFailed, AddressRefused, NameNotFound, Retry) as error:
            gone = isinstance(error, DeliveryFailed) and error.facts.get("status") == 410
            await self._failing(found, last=ctx.attempt >= ctx.job.max_attempts, gone=gone)
            raise
        if found.failing_since is not None:
            await self._shelf.change(found.id, lambda known: replace(known, failing_since=None))
        return answer

    async def _subject(self, event: Message) -> tuple[Job | None, bool]:
        """The job that an event is about, and whether its kind keeps secrets (also if nobody here knows the kind)."""
        if event.job is None:
            return None, False
        secret = event.kind in self._app.secrecy.kinds or event.kind not in self._app.handlers
        try:
            return await self._app.jobs.get(event.job), secret
        except JobNotFound:
            return None, True

    async def _post(self, endpoint: Endpoint, id: str, text: bytes) -> dict[str, Any]:
        require_client()
        import httpx2  # the extra `webhooks`

        from windlass.outbound_http import unlogged

        now = moment(await (await self._app.store()).now())
        signed = signing.headers(endpoint.secrets_at(now), id, int(now.timestamp()), text)
        headers = {"content-type": "application/json", "user-agent": "Windlass-Webhooks/1", **signed}
        began = time.monotonic()
        try:
            async with (
                unlogged(),
                asyncio.timeout(_TIMEOUT),  # the client's own are for each read: a receiver could drip for hours
                self._clients.here().stream("POST", endpoint.url, content=text, headers=headers) as response,
            ):
                reply = await _beginning(response)
        except httpx2.HTTPError as error:
            raise DeliveryFailed(
                f"{endpoint.host} cannot be reached: {type(error).__name__}: {error}", status=None, reply=""
            ) from None
        except TimeoutError:
            raise DeliveryFailed(
                f"{endpoint.host} did not answer within {_TIMEOUT:g} s", status=None, reply=""
            ) from None
        took = round((time.monotonic() - began) * 1_000, 1)
        if response.is_success:
            return {"status": response.status_code, "ms": took, "reply": reply}
        failed = DeliveryFailed(
            f"{endpoint.host} answered {response.status_code}", status=response.status_code, ms=took, reply=reply
        )
        wait = retry_after(httpx2.HTTPStatusError("", request=response.request, response=response))
        if wait is not None and response.status_code in (429, 503):
            raise Retry(failed.message, after=min(wait, 3_600.0)) from failed
        raise failed

    async def _failing(self, endpoint: Endpoint, *, last: bool, gone: bool) -> None:
        now = moment(await (await self._app.store()).now())

        def change(known: Endpoint) -> Endpoint | None:
            since = known.failing_since or now
            if gone:
                return replace(known, failing_since=since, active=False, reason="its receiver answered 410 Gone")
            if last and now - since >= GIVE_UP:
                return replace(known, failing_since=since, active=False, reason="nothing arrived for five days")
            return None if known.failing_since is not None else replace(known, failing_since=since)

        await self._shelf.change(endpoint.id, change)

    # workflows

    async def _flow(self, workflow: str) -> int:
        """Tell that a workflow and its batches are over, if they are."""
        try:
            graph = await self._app.workflows.get(workflow)
        except WindlassError:  # pruned meanwhile
            return 0
        told = 0
        for message, about, at in await self._finished(graph):
            told += await self.tell(message, at, about=about)
        return told

    async def _finished(self, graph: FlowGraph) -> list[tuple[Message, str, Micros]]:
        ends = await (await self._app.store()).outcomes([node.id for node in graph.nodes])
        found: list[tuple[Message, str, Micros]] = []
        batches: dict[str, list[str]] = {}
        for node in graph.nodes:
            if node.batch is not None and node.role == "member":
                batches.setdefault(node.batch, []).append(node.id)
        for batch, members in batches.items():
            if all(id in ends for id in members):
                counts = _counts(ends[id] for id in members)
                found.append(_over("batch.finished", batch, counts, [ends[id] for id in members], workflow=graph.id))
        if graph.is_over:
            data = {"name": graph.name, "state": graph.state}
            found.append(_over("workflow.finished", graph.id, graph.counts, list(ends.values()), **data))
        return found

    # ends without a worker

    async def _sweep(self) -> int:
        """Tell of jobs that no attempt ended: cancelled, expired, failed by command or by a parent."""
        wanted = [each for each in (await self._shelf.all()).values() if each.active]
        store = await self._app.store()
        now = await store.now()
        since = await _mark(store, now)
        told = 0
        if any(each.wants(event) for each in wanted for event in ("job.failed", "job.cancelled", "workflow.finished")):
            told = await self._told_since(store, since - _OVERLAP, wanted)
        await store.exchange([Swap(space=_SWEPT, key="until", text=str(now))])
        return told

    async def _told_since(self, store: Store, since: Micros, wanted: list[Endpoint]) -> int:
        where = Where(states=(State.FAILED, State.CANCELLED), finished_from=since)
        told, cursor = 0, None
        while True:
            page = await store.jobs(where, cursor, _PAGE)
            jobs = [new for job in page.items if job.queue != QUEUE for new in self._untold(job, wanted)]
            if jobs:
                await self._app.enqueue_many(jobs)
                told += len(jobs)
            if page.next is None:
                return told
            cursor = page.next

    def _untold(self, job: Job, wanted: list[Endpoint]) -> list[NewJob[Any]]:
        """The deliveries of an end that no worker told of."""
        assert job.finished_at is not None
        if job.attempts and job.attempts[-1].finished_at == job.finished_at:
            return []
        at = instant(job.finished_at)
        message = of_job(job)
        found = [
            delivery(self.deliver, each.id, encoded(message), settled_id(each.id, message.type, job.id, at=at))
            for each in wanted
            if each.wants(message.type, job.queue, job.kind)
        ]
        if job.workflow is not None and any(each.wants("workflow.finished") for each in wanted):
            found.append(look(self.flow, job.workflow))
        return found


def _over(event: str, about: str, counts: dict[str, int], jobs: list[Job], **more: Any) -> tuple[Message, str, Micros]:
    """The message that a whole is over, the same whoever notices it."""
    at = max((job.finished_at for job in jobs if job.finished_at is not None), default=None)
    data = {"id": about, "counts": counts, **more}
    return Message(type=event, at=at, data=data), about, 0 if at is None else instant(at)


def _counts(jobs: Any) -> dict[str, int]:
    counts = {state.value: 0 for state in FINAL}
    for job in jobs:
        counts[job.state.value] += 1
    return counts


def _wait(attempt: int) -> float:
    return float(WAITS[min(attempt, len(WAITS)) - 1])


async def _mark(store: Store, now: Micros) -> Micros:
    """Until when the last sweep looked; the first one looks back a minute."""
    found = await store.records(_SWEPT, ["until"])
    return int(found[0].text) if found and found[0].text else now - _OVERLAP


async def _beginning(response: "httpx2.Response") -> str:
    """The first characters of an answer; the rest is not even read, nor unpacked: a few bytes may be packed gigabytes."""
    read = b""
    async for chunk in response.aiter_raw():
        read += chunk
        if len(read) >= _LONGEST_REPLY:
            break
    return safe_text(read[:_LONGEST_REPLY].decode("utf-8", "replace"), _LONGEST_REPLY)
