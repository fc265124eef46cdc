"""Tells the log of failed attempts: a line for each retry and each dead letter, one sum for what comes in a storm."""

import asyncio
import logging
from collections import Counter

from windlass.operate.facts import error_of
from windlass.secrecy.marks import SHOWN
from windlass.values.clock import SECOND
from windlass.values.job import Claim, ErrorInfo
from windlass.values.outcome import Finish
from windlass.values.states import Event

# Not below "windlass.worker": hooks on `error` hear that one, and a job that failed is no trouble of the worker.
log = logging.getLogger("windlass.jobs")
# Without it, a program that never configured logging would print every dead letter by logging's handler of last resort.
log.addHandler(logging.NullHandler())

MOST = 20
"""Lines a second, of retries and of dead letters each; writing one blocks the worker's loop."""
WINDOW = 1.0
LONGEST = 200
"""Characters of an error's text; all of it is with the job."""

_MOST_KINDS = 3


class Failures:
    """`saw` from the worker's loop. A job that completes costs nothing here."""

    def __init__(self) -> None:
        self._retries = _Stream(logging.INFO, "more jobs will be retried")
        self._dead = _Stream(logging.WARNING, "more jobs failed for good")

    def saw(self, finish: Finish, claim: Claim | None, *, secret: bool) -> None:
        """An end with an error was accepted. `secret`: of its error only the class may be told."""
        stream = self._retries if finish.event is Event.RETRY else self._dead
        if stream.has_room(finish.kind):
            log.log(stream.level, "%s", line(finish, claim, secret=secret))

    def close(self) -> None:
        """Tell the sums that are left."""
        self._retries.sum_up()
        self._dead.sum_up()


class _Stream:
    """Lines of one level: the first `MOST` of a window, then how many more there were when it ends."""

    def __init__(self, level: int, what: str) -> None:
        self.level = level
        self._what = what
        self._told = 0
        self._until = 0.0
        self._more: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def has_room(self, kind: str) -> bool:
        """Whether this one gets a line; else it is counted, if anybody listens."""
        if not log.isEnabledFor(self.level):
            return False
        loop = asyncio.get_running_loop()
        if loop.time() >= self._until:
            self.sum_up()
            self._told, self._until = 0, loop.time() + WINDOW
        if self._told < MOST:
            self._told += 1
            return True
        self._more[kind] += 1
        if self._timer is None:
            self._timer = loop.call_at(self._until, self.sum_up)
        return False

    def sum_up(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._more:
            return
        kinds = ", ".join(f"{printable(kind)} {n:,}" for kind, n in self._more.most_common(_MOST_KINDS))
        others = ", ..." if len(self._more) > _MOST_KINDS else ""
        log.log(self.level, "and %s %s: %s%s", f"{self._more.total():,}", self._what, kinds, others)
        self._more.clear()


def line(finish: Finish, claim: Claim | None, *, secret: bool) -> str:
    """Kind, id, attempt, and the error's class and first line; what a handler was given is not in it."""
    attempt = "" if claim is None else f", attempt {claim.attempt} of {claim.max_attempts}"
    job = f"{printable(finish.kind)} {finish.id}{attempt}"
    error = error_of(finish)
    told = "" if error is None else f": {_error(error, secret)}"
    if finish.event is Event.RETRY:
        return f"{job}, again in {finish.delay / SECOND:.3g} s{told}"
    # A handler's own reason is its error's text; those that are not are Windlass's.
    own = secret or error is None or finish.reason == error.message
    return f"{job} failed for good{told}" + ("" if own or not finish.reason else f" ({printable(finish.reason)})")


def _error(error: ErrorInfo, secret: bool) -> str:
    name = printable(error.type)
    text = error.message.strip().partition("\n")[0]
    if secret or not text or text == SHOWN:
        return name
    return f"{name}: {printable(text if len(text) <= LONGEST else text[: LONGEST - 3] + '...')}"


def printable(text: str) -> str:
    """`text` as one line that cannot forge another or steer a terminal."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
