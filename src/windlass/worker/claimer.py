"""Asks the store for as many jobs as there are slots to fill, and sleeps exactly as long as there is nothing to ask for."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Generator
from time import monotonic

import msgspec

from windlass.errors import StoreError
from windlass.store.protocol import MOST_CLAIMED, Store
from windlass.values.clock import SECOND, Micros
from windlass.values.job import Claim, Runtime
from windlass.values.lease import Claimed, ClaimRequest
from windlass.worker.every import Backoff
from windlass.worker.runner import Runner

log = logging.getLogger("windlass.worker")

POLL = 0.5
"""Seconds after which an idle claimer asks although nobody woke it: wake-ups may be lost."""


_REMEMBERED = 60.0
"""Seconds after a limited job in which an answer that held as many of them as slots were idle may have held back others."""

_AT_ONCE = 0.001
_SLOW = 0.02
"""Seconds of a claim's way there and back that leave rated jobs enough of their time."""

_DEFECTS = 10
"""Errors that no store should raise, in a row, until the worker ends of them: one may come of a connection that breaks."""


class Claimer:
    """One claim at a time. A claim is never cancelled half way, and a failed one is repeated under its own number."""

    def __init__(self, store: Store, runner: Runner, request: ClaimRequest) -> None:
        self._store = store
        self._runner = runner
        self._request = request
        self._dry: set[Runtime] = set()
        self._pinched: set[Runtime] = set()
        self._limited_at = -_REMEMBERED
        self._wake = asyncio.Event()
        self._news = True
        self._wait: Micros | None = None
        self._askers: list[asyncio.Future[bool]] = []
        self._backoff = Backoff("claiming jobs")
        self.stopping = False
        self.quiet = False

    def freed(self) -> None:
        """A slot may be free."""
        if not self._wake.is_set():
            self._wake.set()

    def news(self) -> None:
        """Jobs may be claimable."""
        self._news = True
        self._wake.set()

    def stop(self) -> None:
        self.stopping = True
        self._wake.set()

    async def ask(self) -> bool:
        """Make a claim that begins after this call; True if it brought nothing and the worker held nothing when it was
        sent. A busy worker asks only for the runtimes it has slots for, so an empty answer says little then."""
        future = asyncio.get_running_loop().create_future()
        self._askers.append(future)
        self.news()
        return await future

    async def run(self) -> None:
        """Claim until told to stop."""
        with self._listening():
            while not self.stopping:
                self._wake.clear()
                if self._news:
                    self._news = False
                    self._dry.clear()
                slots = {} if self.quiet else self._runner.demand()
                if slots and (not self._dry.issuperset(slots) or self._is_eased(slots)):
                    await self._round(slots)
                else:
                    await self._sleep(bool(slots))
        for future in self._askers:
            future.cancel()

    async def _round(self, slots: dict[Runtime, int]) -> None:
        askers, self._askers = self._askers, []
        was_idle = not self._runner.held
        idle = self._runner.idle(slots)
        all_idle, some_idle = idle == slots, all(idle.values())
        self._request = msgspec.structs.replace(
            self._request, number=self._request.number + 1, slots=slots, idle=None if all_idle else idle
        )
        first = monotonic()
        sent, claimed = await self._claim(self._request)
        self._wait = claimed.wait
        if claimed.jobs:
            self._runner.take(claimed.jobs, sent, await self._granted(claimed.jobs, first, sent))
        if not claimed.more and len(claimed.jobs) < MOST_CLAIMED:
            got: Counter[Runtime] = Counter(claim.runtime for claim in claimed.jobs)
            short: list[Runtime] = [runtime for runtime, asked in slots.items() if got[runtime] < asked]
            self._dry.update(short)
            self._pinched = set() if all_idle else self._held_back(short, claimed.jobs, idle)
        for future in askers:
            if not future.done():
                future.set_result(was_idle and some_idle and not claimed.jobs and not claimed.more)
        if claimed.jobs:
            await asyncio.sleep(0)  # the handlers go first

    async def _granted(self, jobs: list[Claim], first: float, sent: float) -> float:
        """The earliest monotonic time at which these jobs were granted. A claim that was repeated may have been granted at once.
        Of a slow one the rates are spent, and the time may have gone by before that, so the store's clock is asked rather
        than all of them given back."""
        asked = monotonic()
        was_repeated = sent - first > _AT_ONCE
        if was_repeated or asked - first <= _SLOW or not any(claim.rated for claim in jobs):
            return first
        try:
            now = await self._store.now()
        except StoreError:
            return first
        age = (now - min(claim.claimed_at for claim in jobs)) / SECOND
        return max(first, asked - max(age, 0.0))

    def _held_back(self, short: list[Runtime], jobs: list[Claim], idle: dict[Runtime, int]) -> set[Runtime]:
        """The runtimes of which limited jobs may be waiting only because no slot was idle."""
        limited: Counter[Runtime] = Counter(claim.runtime for claim in jobs if claim.limited)
        now = monotonic()
        if limited:
            self._limited_at = now
        elif now - self._limited_at >= _REMEMBERED:  # where there are no limits, busy workers do not ask in vain
            return set()
        return {runtime for runtime in short if limited[runtime] >= idle[runtime]}

    def _is_eased(self, slots: dict[Runtime, int]) -> bool:
        """Whether a slot has become idle for which limited jobs may be waiting."""
        pinched: dict[Runtime, int] = {runtime: slots[runtime] for runtime in self._pinched if runtime in slots}
        return bool(pinched) and any(self._runner.idle(pinched).values())

    async def _claim(self, request: ClaimRequest) -> tuple[float, Claimed]:
        defects = 0
        while True:
            sent = monotonic()
            try:
                claimed = await self._store.claim(request)
            except Exception as error:
                if not isinstance(error, StoreError):
                    defects += 1
                    log.exception("claiming jobs failed")
                    if defects >= _DEFECTS:
                        raise
                if self.stopping:  # what the lost claim may have leased lapses and is rescued
                    return sent, Claimed([])
                await asyncio.sleep(self._backoff.failed(error))
                continue
            self._backoff.worked()
            return sent, claimed

    async def _sleep(self, hungry: bool) -> None:
        wait = POLL if self._wait is None or not hungry else min(POLL, self._wait / SECOND)
        if await self._rest(wait):
            self._news = True

    async def _rest(self, limit: float) -> bool:
        """Sleep until woken; True if the time ran out first."""
        try:
            async with asyncio.timeout(max(limit, 0.001)):
                await self._wake.wait()
        except TimeoutError:
            return True
        return False

    @contextlib.contextmanager
    def _listening(self) -> Generator[None]:
        stop: Callable[[], None] = self._store.listen({"ready"}, self.news)
        try:
            yield
        finally:
            stop()
