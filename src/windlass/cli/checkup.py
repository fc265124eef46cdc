"""The doctor's examination: facts about the store, and findings, each with the command that mends it."""

import asyncio
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from windlass.alerts.channels import SPACE as CHANNELS
from windlass.alerts.channels import Channel, lack_of
from windlass.cli.complaint import StoreNotFound
from windlass.cli.options import Plain
from windlass.cli.show import COLOURS, clean, emit_facts, emit_json, emit_wrapped, size, span
from windlass.cli.target import Target, check_present
from windlass.errors import SchemaMismatch, StoreError, StoreUnavailable
from windlass.observe.health import read_health
from windlass.settings import Settings
from windlass.store import open_store
from windlass.store.protocol import Store
from windlass.values.clock import SECOND, Micros, host_now
from windlass.values.lease import WorkerInfo
from windlass.values.query import Record, Where
from windlass.values.states import State

SAMPLE = 1_000
SKEW = 2 * SECOND
_NAMED = 10


class Finding(msgspec.Struct, frozen=True):
    """Something worth saying: `wrong` needs mending, `warning` may be meant."""

    level: Literal["wrong", "warning"]
    code: str
    text: str
    mend: str = ""


class Checkup(msgspec.Struct, frozen=True):
    """Everything found. `unreachable`: the store did not answer, so nothing else was examined."""

    url: str
    facts: dict[str, Any]
    findings: list[Finding]
    unreachable: bool = False


class Ward(NamedTuple):
    """What the examinations look at; `flags` lead the mending commands to the same store."""

    flags: str
    now: Micros
    waiting: dict[str, int]
    paused: frozenset[str]
    workers: list[WorkerInfo]
    kinds: dict[str, set[str]]
    """Kinds of waiting jobs -> the queues they wait in (a sample)."""
    holders: frozenset[str]
    """Workers that hold active jobs (a sample)."""
    stuck: frozenset[str]
    """Workers with room that take none of the jobs that nothing holds back."""


def examine(target: Target) -> Checkup:
    """Open the store and examine it; a store that cannot be opened is a finding."""
    return asyncio.run(_examine(target))


async def _examine(target: Target) -> Checkup:
    app = target.load()
    store = open_store(app.url, app.namespace)
    try:
        await check_present(store, app.namespace)
        await store.open()
        found, known = await store.schema()
        facts = {**await store.health(), "namespace": app.namespace}
        warnings = facts.pop("warnings", ())
        facts.pop("schema_known", None)
        findings = [Finding("warning", "engine", str(text)) for text in warnings]
        if found != known:
            findings.append(
                Finding(
                    "wrong", "schema", f"schema {found}, this version writes {known}", _up(found, known, target.flags)
                )
            )
        ward = await _look(store, target.flags)
        findings += _clock(ward)
        findings += _channels(await store.records(CHANNELS), app.settings)
        for examination in EXAMINATIONS:
            findings += examination(ward)
        return Checkup(store.url, {**facts, "workers": len(ward.workers), **_totals(ward)}, findings)
    except StoreNotFound as error:
        return Checkup(store.url, {}, [Finding("wrong", "no-store", error.message, error.facts.get("mend", ""))])
    except SchemaMismatch as error:
        return Checkup(store.url, {}, [Finding("wrong", "schema", error.message, error.facts.get("mend", ""))])
    except StoreUnavailable as error:
        mend = error.facts.get("mend", "is it running, and is the address right?")
        return Checkup(store.url, {}, [Finding("wrong", error.code, error.message, mend)], True)
    except StoreError as error:
        return Checkup(store.url, {}, [Finding("wrong", error.code, error.message, error.facts.get("mend", ""))])
    finally:
        await store.close()


def _up(found: int, known: int, flags: str) -> str:
    return f"windlass migrate up{flags}" if found < known else "install the newer windlass"


def _totals(ward: Ward) -> dict[str, Any]:
    return {"waiting": sum(ward.waiting.values())}


async def _look(store: Store, flags: str) -> Ward:
    waiting = {count.queue: count.n for count in await store.counts() if count.state is State.WAITING}
    workers = await store.workers()
    active = await store.jobs(Where(states=(State.ACTIVE,)), None, SAMPLE)
    return Ward(
        flags=flags,
        now=await store.now(),
        waiting=waiting,
        paused=frozenset(info.name for info in await store.queues() if info.paused),
        workers=workers,
        kinds=await _waiting_kinds(store, waiting, workers),
        holders=frozenset(job.worker for job in active.items if job.worker),
        stuck=await _stuck_workers(store),
    )


async def _stuck_workers(store: Store) -> frozenset[str]:
    """Health knows of limits, breakers and pauses: who only obeys those is idle."""

    async def here() -> Store:
        return store

    health = await read_health(here)
    return frozenset(worker.id for worker in health.workers if worker.state == "stuck")


async def _waiting_kinds(store: Store, waiting: dict[str, int], workers: Sequence[WorkerInfo]) -> dict[str, set[str]]:
    """The kinds of the newest waiting jobs, and of the published kinds that no worker serves those that have any."""
    found: dict[str, set[str]] = defaultdict(set)
    for queue in waiting:
        page = await store.jobs(Where(states=(State.WAITING,), queues=(queue,)), None, SAMPLE)
        for job in page.items:
            found[job.kind].add(queue)
    served = {kind for worker in workers for kind in worker.kinds}
    for record in await store.records("kind"):
        if waiting and record.key not in served and record.key not in found:
            page = await store.jobs(Where(states=(State.WAITING,), kinds=(record.key,)), None, 1)
            for job in page.items:
                found[job.kind].add(job.queue)
    return found


def _clock(ward: Ward) -> Iterator[Finding]:
    ahead = host_now() - ward.now
    if abs(ahead) > SKEW:
        side = "ahead of" if ahead > 0 else "behind"
        text = f"this machine's clock is {span(abs(ahead) / SECOND)} {side} the store's"
        yield Finding("warning", "clock", text, "synchronise both by NTP; Windlass goes by the store's")


def _channels(records: Iterable[Record], settings: Settings) -> Iterator[Finding]:
    for record in records:
        channel = msgspec.json.decode(record.text, type=Channel) if record.text else None
        lack = None if channel is None else lack_of(channel, settings.smtp_url)
        if lack is not None:
            text = f"alert channel {record.key} cannot work by the settings here: {lack.text}"
            yield Finding("warning", "alert-channel", text, lack.mend)


def _serves(worker: WorkerInfo, queue: str) -> bool:
    return worker.queues is None or queue in worker.queues


def _unserved(ward: Ward) -> Iterator[Finding]:
    alone = [
        f"{queue} ({count:,} waiting)"
        for queue, count in ward.waiting.items()
        if queue not in ward.paused and not any(_serves(worker, queue) for worker in ward.workers)
    ]
    if alone:
        named = ", ".join(alone[:_NAMED]) + (f" and {len(alone) - _NAMED:,} more" if len(alone) > _NAMED else "")
        yield Finding(
            "wrong",
            "no-worker",
            f"no live worker serves {'queue' if len(alone) == 1 else 'the queues'} {named}",
            # Without -q it serves the queue `windlass` too: alerts, webhooks, automatic retries.
            f"windlass worker{'' if '-A' in ward.flags else ' -A module:app'}{ward.flags}",
        )


def _paused(ward: Ward) -> Iterator[Finding]:
    for queue in sorted(ward.paused):
        if count := ward.waiting.get(queue):
            text = f"queue {queue} is paused with {count:,} waiting"
            yield Finding("warning", "paused", text, f"windlass queues resume{ward.flags} {queue}")


def _unknown_kinds(ward: Ward) -> Iterator[Finding]:
    for kind, queues in sorted(ward.kinds.items()):
        for queue in sorted(queues - ward.paused):
            crew = [worker for worker in ward.workers if _serves(worker, queue)]
            if crew and not any(kind in worker.kinds for worker in crew):
                yield Finding(
                    "wrong",
                    "unknown-kind",
                    f"jobs of kind {kind} wait in queue {queue}, and no worker there knows the kind",
                    f"start a worker whose app has it, or windlass jobs cancel{ward.flags} --kind {kind}",
                )


def _silent(ward: Ward) -> Iterator[Finding]:
    for worker in ward.workers:
        quiet = ward.now - worker.seen_at
        if quiet <= worker.lease:
            continue
        who = f"worker {worker.id} ({worker.host}, pid {worker.pid})"
        if worker.id in ward.holders:
            text = f"{who} is silent for {span(quiet / SECOND)} and holds jobs"
            yield Finding(
                "wrong", "silent-worker", text, f"if it hangs, kill {worker.pid}; other workers take its jobs over"
            )
        else:
            text = f"{who} went without a goodbye {span(quiet / SECOND)} ago; it holds no job any more"
            yield Finding("warning", "lost-worker", text)


def _stuck(ward: Ward) -> Iterator[Finding]:
    for worker in ward.workers:
        if worker.id in ward.stuck:
            since = ward.now - (worker.claimed_at or worker.started_at)
            text = f"worker {worker.id} took no job for {span(since / SECOND)} while some wait that nothing holds back"
            look = f"windlass jobs ls{ward.flags} --state active"
            mend = f"its {worker.running} running jobs may hang: {look}, or restart pid {worker.pid}"
            yield Finding("warning", "stuck-worker", text, mend)


EXAMINATIONS: tuple[Callable[[Ward], Iterable[Finding]], ...] = (_unserved, _paused, _unknown_kinds, _silent, _stuck)


def emit_checkup(checkup: Checkup, form: Plain, strict: bool) -> int:
    """Print it; the exit code: 5 unreachable, 1 something wrong, else 0."""
    wrong = [finding for finding in checkup.findings if strict or finding.level == "wrong"]
    code = 5 if checkup.unreachable else 1 if wrong else 0
    if form is Plain.JSON:
        emit_json({"ok": code == 0, "exit": code, **msgspec.to_builtins(checkup)})
        return code
    emit_facts([("store", checkup.url), *((name, _fact(name, value)) for name, value in checkup.facts.items())])
    print()
    for finding in checkup.findings:
        _emit_finding(finding)
    if not checkup.findings:
        print(_paint("ok", "ok: nothing is wrong"))
    return code


def _emit_finding(finding: Finding) -> None:
    emit_wrapped(f"{_paint(finding.level, finding.level)}[{finding.code}]: {clean(finding.text)}")
    if finding.mend:
        emit_wrapped(f"  mend: {clean(finding.mend)}")


def _fact(name: str, value: Any) -> str:
    if name in ("size", "bytes") and isinstance(value, int):
        return size(value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) and value > 9_999 else str(value)


def _paint(level: str, text: str) -> str:
    if not sys.stdout.isatty():
        return text
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    with console.capture() as captured:
        console.print(Text(text, style=COLOURS[level]), end="")
    return captured.get()
