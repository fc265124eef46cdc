"""How much one client may ask of this process, and the headers that tell it. Kept in memory: each process counts its own."""

import math
import time
from collections import OrderedDict

from windlass.api.problems import Problem
from windlass.api.settings import Allowance

_MOST_CLIENTS = 50_000


class Rates:
    """The generic cell rate algorithm: a client's allowance refills evenly, and may be used up at once."""

    def __init__(self, name: str, allowance: Allowance) -> None:
        self._name = name
        self._allowance = allowance
        self._step = allowance.window / allowance.n
        self._full: OrderedDict[str, float] = OrderedDict()
        """When each client's allowance will be full again; the least recently seen first."""
        self.policy = f'"{name}";q={allowance.n};w={allowance.window:g}'

    def take(self, client: str) -> tuple[int, float]:
        """Count one request: how many are left, and the seconds until all are back. A `Problem` if there was none left."""
        now = time.monotonic()
        full = max(self._full.get(client, now), now) + self._step
        wait = full - now - self._allowance.window
        if wait > 1e-9:
            raise self._exceeded(wait)
        self._full[client] = full
        self._full.move_to_end(client)
        if len(self._full) > _MOST_CLIENTS:
            self._full.popitem(last=False)
        return self._left(full - now), full - now

    def headers(self, left: int, reset: float) -> dict[str, str]:
        """What a response says about it."""
        return {"RateLimit-Policy": self.policy, "RateLimit": f'"{self._name}";r={left};t={math.ceil(reset)}'}

    def _left(self, used: float) -> int:
        return max(0, int((self._allowance.window - used) / self._step + 1e-6))

    def _exceeded(self, wait: float) -> Problem:
        headers = {**self.headers(0, wait), "Retry-After": str(math.ceil(wait))}
        return Problem(429, "too-many-requests", "too many requests; wait a little", headers=headers)
