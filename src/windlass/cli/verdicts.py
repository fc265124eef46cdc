"""Health as people look at it: queues and workers in tables, then the issues, the worst first, with their commands."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from windlass.cli.options import Plain
from windlass.cli.show import clean, emit_facts, emit_json, emit_table, emit_wrapped, span
from windlass.cli.target import Target, check_present
from windlass.errors import StoreError
from windlass.observe.health import Health, Issue, QueueHealth, Recommendation, WorkerHealth

if TYPE_CHECKING:
    from windlass.app import Windlass

T = TypeVar("T")

_COLOURS = {"healthy": "32", "note": "36", "degraded": "33", "unhealthy": "31", "error": "31"}


def examine(target: Target, act: Callable[["Windlass"], Awaitable[T]]) -> T:
    """Ask the target's app without opening its store first: that it cannot be opened is an answer too. One that nobody has
    made is not."""

    async def main() -> T:
        app = target.load()
        with contextlib.suppress(StoreError):  # that it does not answer is the answer's to tell
            await check_present(app.open_sibling(), app.namespace)
        try:
            return await act(app)
        finally:
            await app.close()

    return asyncio.run(main())


def emit_health(health: Health, form: Plain, strict: bool, flags: str) -> int:
    """Print it; the exit code: 5 no answer, 1 unhealthy (or, `strict`, degraded), else 0."""
    code = _code(health.status, strict)
    if form is Plain.JSON:
        emit_json(health)
        return code
    print(_paint(health.status))
    if health.queues:
        print()
        emit_table(
            ["queue", "health", "waiting", "active", "failed", "oldest", "per min", "drained", "slots"],
            [_queue(queue) for queue in health.queues],
            right=("waiting", "active", "failed", "oldest", "per min", "drained", "slots"),
        )
    if health.workers:
        print()
        emit_table(
            ["worker", "state", "running", "slots", "last claim"],
            [_worker(worker, health) for worker in health.workers],
            right=("running", "slots"),
        )
    _emit_issues(health.issues, health.recommendations, flags, several=True)
    return code


def emit_queue_health(health: QueueHealth, form: Plain, strict: bool, flags: str) -> int:
    """The same of one queue."""
    code = _code(health.status, strict)
    if form is Plain.JSON:
        emit_json(health)
        return code
    print(f"{health.queue}: {_paint(health.status)}\n")
    if health.status != "error":
        failed = "-" if health.failed_share is None else f"{health.failed_share:.1%} of {health.ended:,} in 15 minutes"
        emit_facts(
            [
                ("paused", "yes" if health.paused else ""),
                ("waiting", f"{health.waiting:,}, the oldest for {_oldest(health)}" if health.waiting else "none"),
                ("active", f"{health.active:,} on {health.slots:,} slots of {health.workers:,} workers"),
                ("later", f"{health.delayed:,} delayed, {health.retrying:,} retrying, {health.blocked:,} blocked"),
                ("arrive", f"{health.arrived_per_minute:,.4g} a minute"),
                ("served", f"{health.served_per_minute:,.4g} a minute"),
                ("drained in", _drain(health)),
                ("failed", f"{failed}; {health.failed:,} dead letters"),
            ]
        )
    _emit_issues(health.issues, health.recommendations, flags, several=False)
    return code


def _code(status: str, strict: bool) -> int:
    return {"error": 5, "unhealthy": 1, "degraded": int(strict)}.get(status, 0)


def _queue(queue: QueueHealth) -> list[str]:
    return [
        queue.queue,
        queue.status + (" (paused)" if queue.paused else ""),
        str(queue.waiting),
        str(queue.active),
        str(queue.failed),
        _oldest(queue),
        f"{queue.served_per_minute:.3g}",
        _drain(queue),
        str(queue.slots),
    ]


def _worker(worker: WorkerHealth, health: Health) -> list[str]:
    at = worker.claimed_at
    ago = "never" if at is None else span((health.at - at).total_seconds())
    return [worker.id, worker.state, str(worker.running), str(worker.slots), ago]


def _oldest(queue: QueueHealth) -> str:
    if queue.oldest_wait is None:
        return "-"
    return ("" if queue.oldest_exact else ">") + span(queue.oldest_wait)


def _drain(queue: QueueHealth) -> str:
    if not queue.waiting:
        return "-"
    return "never" if queue.drain is None else span(queue.drain)


def _emit_issues(issues: Sequence[Issue], advice: Sequence[Recommendation], flags: str, *, several: bool) -> None:
    commands: dict[str, list[Recommendation]] = {}
    for each in advice:
        commands.setdefault(each.code, []).append(each)
    for issue in issues:
        where = f"{issue.queue}: " if several and issue.queue else ""
        print()
        emit_wrapped(f"{_paint(issue.level)}[{issue.code}]: {clean(where + issue.text)}")
    if commands:
        print()
    for several_of_code in commands.values():
        for each in several_of_code:
            emit_wrapped(f"  {each.code}: {clean(each.text)}:")
            print(f"    {_led(each.command, flags)}")


def _led(command: str, flags: str) -> str:
    """The command on the same store as this one was; an app that was named stands for the placeholder."""
    words = command.replace(" -A module:app", "")
    if not words.startswith("windlass ") or not flags:
        return clean(command)
    head, verb, *rest = words.split(" ")
    at = 2 if rest and not rest[0].startswith("-") and verb not in ("worker", "workers", "doctor") else 1
    return clean(" ".join([head, verb, *rest[: at - 1]]) + flags + "".join(f" {word}" for word in rest[at - 1 :]))


def _paint(word: Any) -> str:
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return f"\x1b[{_COLOURS[word]}m{word}\x1b[0m" if coloured else str(word)
