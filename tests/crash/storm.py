"""Faults by chance: workers killed and stopped, the store killed and started, connections cut, silenced, scripts forgotten."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tests.crash.history import Fault, Recorder, now
from tests.crash.places import Ground
from tests.crash.proxy import Proxy
from tests.crash.team import Team

SKEWS = (0.0, 3_600.0, -3_600.0)
"""The wall clocks of the team's members; a store in a file has no clock but theirs, so there they are right."""

Strike = Callable[[], Awaitable[None]]


class Front(NamedTuple):
    """What a storm may hit. `door` is the producer's proxy, `wire` the workers'; None where there is no server."""

    ground: Ground
    team: Team
    door: Proxy | None
    wire: Proxy | None
    record: Recorder
    lease: float


class Storm:
    """Seeded. Every fault is told in the history when it is over."""

    def __init__(self, front: Front, chance: random.Random, pause: tuple[float, float]) -> None:
        self._front = front
        self._chance = chance
        self._pause = pause
        self._lasting: set[asyncio.Task[None]] = set()
        self._skews = SKEWS if front.ground.server is not None else (0.0,)
        self._hired = 0

    async def muster(self, members: int) -> None:
        """Start the team."""
        for _ in range(members):
            await self._hire()

    async def rage(self, until: float) -> None:
        """One fault after the other; those that last go on beside the next ones."""
        strikes, weights = zip(*self._menu(), strict=True)
        forget = asyncio.create_task(self._forget_scripts())
        try:
            while now() < until:
                await self._chance.choices(strikes, weights)[0]()
                await self._replace_the_fallen()
                await asyncio.sleep(self._chance.uniform(*self._pause))
        finally:
            forget.cancel()
            for fault in list(self._lasting):
                fault.cancel()
            await asyncio.wait([forget, *self._lasting])

    async def calm(self) -> None:
        """Heal everything: a whole team with one right clock at least, open connections, a running store."""
        for proxy in (self._front.door, self._front.wire):
            if proxy is not None:
                proxy.calm()
        self._hired = 0
        await self._replace_the_fallen()
        await self._hire()

    def _menu(self) -> list[tuple[Strike, int]]:
        menu: list[tuple[Strike, int]] = [(self._kill, 20), (self._stop, 3)]
        if self._front.wire is not None:
            menu += [(self._cut, 2), (self._lose, 6), (self._silence, 1), (self._kill_store, 2)]
        return menu

    async def _hire(self) -> None:
        skew = self._skews[self._hired % len(self._skews)]
        self._hired += 1
        await self._front.team.start(SKEW=skew)

    async def _replace_the_fallen(self) -> None:
        """As a supervisor does: a worker that finds no store when it starts says so and exits."""
        for _ in self._front.team.bury():
            await self._hire()

    async def _kill(self) -> None:
        team = self._front.team
        if team.alive:
            await team.strike(self._chance.choice(team.alive))
            await self._hire()

    async def _stop(self) -> None:
        """One at a time, for three leases."""
        team = self._front.team
        if not team.stopped and len(team.alive) > 1:
            self._last(team.freeze(self._chance.choice(team.alive), 3 * self._front.lease))

    async def _cut(self) -> None:
        assert self._front.wire is not None and self._front.door is not None
        at = now()
        self._chance.choice((self._front.wire, self._front.wire, self._front.door)).cut()
        self._front.record(Fault(at, "cut", now(), note="all connections"))

    async def _lose(self) -> None:
        """Requests, or answers, of the next calls."""
        assert self._front.wire is not None and self._front.door is not None
        proxy = self._chance.choice((self._front.wire, self._front.wire, self._front.door))
        at, what, n = now(), self._chance.choice(("requests", "replies")), self._chance.randint(1, 4)
        (proxy.lose_requests if what == "requests" else proxy.lose_replies)(n)
        self._front.record(Fault(at, "cut", at + 1.0, note=f"{n} {what}"))

    async def _silence(self) -> None:
        """Half-open connections: nothing passes for a lease and a half, then they are reset."""
        self._last(self._silently())

    async def _silently(self) -> None:
        wire, at = self._front.wire, now()
        assert wire is not None
        n = wire.silence(self._chance, 0.3)
        try:
            await asyncio.sleep(1.5 * self._front.lease)
        finally:
            wire.cut_silent()
            self._front.record(Fault(at, "silence", now(), note=f"{n} connections"))

    async def _kill_store(self) -> None:
        server, at = self._front.ground.server, now()
        assert server is not None
        server.kill()
        await asyncio.sleep(self._chance.uniform(0.0, 0.4))
        server.start()
        self._front.record(Fault(at, "store", now()))

    async def _forget_scripts(self) -> None:
        while self._front.ground.is_redis:
            await asyncio.sleep(1.0)
            await self._front.ground.forget_scripts()

    def _last(self, fault: Awaitable[None]) -> None:
        task = asyncio.ensure_future(fault)
        self._lasting.add(task)
        task.add_done_callback(self._lasting.discard)
