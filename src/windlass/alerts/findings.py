"""What a rule finds in the state of things: one finding for each group that is over the threshold. Pure."""

from collections.abc import Callable, Iterator, Mapping

import msgspec

from windlass.alerts.rule import AlertRule, Watch
from windlass.observe.health import Health, QueueHealth
from windlass.values.clock import span_text

_LEVELS = {"healthy": 0, "degraded": 1, "unhealthy": 2, "error": 3}


class Picture(msgspec.Struct, frozen=True):
    """What rules look at. `dead`: by rule, how many jobs failed for good in its window, by queue; `late`: seconds by which
    schedules are late."""

    health: Health
    dead: Mapping[str, Mapping[str, int]]
    late: Mapping[str, float]


class Finding(msgspec.Struct, frozen=True):
    """A group over a rule's threshold: how much it is, what to say, and the command that shows more."""

    group: str
    value: float
    text: str
    command: str = ""


def findings(rule: AlertRule, picture: Picture) -> dict[str, Finding]:
    """The rule's findings by group."""
    return {found.group: found for found in _LOOKS[rule.watch](rule, picture)}


def _dead_letters(rule: AlertRule, picture: Picture) -> Iterator[Finding]:
    for queue, n in picture.dead.get(rule.name, {}).items():
        if n >= rule.threshold:
            many = f"{n:,} job{'s' * (n != 1)} of {queue} failed for good"
            yield Finding(queue, n, f"{many} in the last {span_text(rule.window)}", f"windlass dead ls --queue {queue}")


def _error_rate(rule: AlertRule, picture: Picture) -> Iterator[Finding]:
    for queue in _queues(rule, picture):
        share = queue.failed_share
        if share is not None and queue.ended >= rule.least and share >= rule.threshold:
            text = f"{share:.0%} of {queue.ended:,} jobs of {queue.queue} failed in the last 15 minutes"
            yield Finding(queue.queue, share, text, f"windlass dead ls --queue {queue.queue}")


def _queue_size(rule: AlertRule, picture: Picture) -> Iterator[Finding]:
    for queue in _queues(rule, picture):
        if queue.waiting >= rule.threshold:
            text = f"{queue.waiting:,} jobs wait in {queue.queue}"
            yield Finding(queue.queue, queue.waiting, text, f"windlass health {queue.queue}")


def _queue_age(rule: AlertRule, picture: Picture) -> Iterator[Finding]:
    for queue in _queues(rule, picture):
        if queue.oldest_wait is not None and queue.oldest_wait >= rule.threshold:
            text = f"the oldest job of {queue.queue} waits for {span_text(queue.oldest_wait)}"
            yield Finding(queue.queue, queue.oldest_wait, text, f"windlass health {queue.queue}")


def _worker_lost(rule: AlertRule, picture: Picture) -> Iterator[Finding]:
    lost = [worker for worker in picture.health.workers if worker.state in ("lost", "stuck")]
    if len(lost) >= rule.threshold:
        for worker in lost:
            text = f"worker {worker.id} ({worker.host}, pid {worker.pid}) is {worker.state}"
            yield Finding(worker.id, 1, text, "windlass workers ls")


def _health(rule: AlertRule, picture: Picture) -> Iterator[Finding]:
    if picture.health.status == "error":
        yield Finding("store", 3, "; ".join(issue.text for issue in picture.health.issues), "windlass doctor")
    for queue in _queues(rule, picture):
        level = _LEVELS[queue.status]
        if level >= rule.threshold:
            why = "; ".join(issue.text for issue in queue.issues if issue.level != "note")
            yield Finding(
                queue.queue, level, f"{queue.queue} is {queue.status}: {why}", f"windlass health {queue.queue}"
            )


def _breaker_open(rule: AlertRule, picture: Picture) -> Iterator[Finding]:
    open_ones = {
        str(issue.facts.get("provider")): issue.text
        for issue in picture.health.issues
        if issue.code in ("breaker-open", "breaker-half-open")
    }
    if len(open_ones) >= rule.threshold:
        for provider, text in open_ones.items():
            yield Finding(provider, 1, text, "windlass breakers ls")


def _schedule_missed(rule: AlertRule, picture: Picture) -> Iterator[Finding]:
    for key, late in picture.late.items():
        if late >= rule.threshold:
            text = f"schedule {key} is {span_text(late)} late: does any worker run?"
            yield Finding(key, late, text, f"windlass schedules show {key}")


def _queues(rule: AlertRule, picture: Picture) -> Iterator[QueueHealth]:
    return (queue for queue in picture.health.queues if rule.covers(queue.queue))


_LOOKS: Mapping[Watch, Callable[[AlertRule, Picture], Iterator[Finding]]] = {
    "dead-letters": _dead_letters,
    "error-rate": _error_rate,
    "queue-size": _queue_size,
    "queue-age": _queue_age,
    "worker-lost": _worker_lost,
    "health": _health,
    "breaker-open": _breaker_open,
    "schedule-missed": _schedule_missed,
}
