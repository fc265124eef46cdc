"""Meets errors for the first time: what an error group looks like is written down once, beside the jobs' way."""

import asyncio
import logging

from windlass.errors import StoreError
from windlass.operate.facts import error_of, remember
from windlass.store.protocol import Store
from windlass.values.job import ErrorInfo
from windlass.values.outcome import Finish
from windlass.worker.every import Backoff

log = logging.getLogger("windlass.worker")

_MOST_KNOWN = 10_000
_AT_ONCE = 100


class Witness:
    """`saw` from the worker's loop, of accepted ends with a fingerprint; an error that this process has met costs a look-up."""

    def __init__(self, store: Store, version: str | None) -> None:
        """`version`: the app's own."""
        self._store = store
        self._version = version
        self._known: set[tuple[str, str, str]] = set()
        self._met: list[tuple[Finish, ErrorInfo]] = []
        self._task: asyncio.Task[None] | None = None
        self._leaving = False
        self._backoff = Backoff("remembering errors")

    def saw(self, finish: Finish) -> None:
        """An attempt ended with an error."""
        place = (finish.fingerprint, finish.kind, finish.queue)
        if place in self._known:
            return
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known.add(place)
        error = error_of(finish)
        if error is None:
            return
        self._met.append((finish, error))
        if self._task is None:
            self._task = asyncio.create_task(self._write(), name="windlass-witness")

    async def drained(self) -> None:
        """Until everything seen is written, or cannot be; raises nothing."""
        self._leaving = True
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _write(self) -> None:
        try:
            while self._met:
                met = self._met[:_AT_ONCE]
                try:
                    await remember(self._store, met, self._version)
                except Exception as error:
                    if isinstance(error, StoreError) and not self._leaving:
                        await asyncio.sleep(self._backoff.failed(error))
                        continue
                    # The group is counted all the same; who meets it next in another process writes it down.
                    log.warning("%d errors could not be remembered: %r", len(met), error)
                del self._met[: len(met)]
                self._backoff.worked()
        finally:
            self._task = None
