"""Waiting for facts, so that no test sleeps and hopes."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

SOONEST, LATEST = 0.002, 0.025
"""Seconds from one look to the next: few for what comes at once, more the longer it takes, for who looks all the time takes the
processor from those that it waits for."""


async def until(fact: Callable[[], Any | Awaitable[Any]], what: str, timeout: float = 60.0) -> Any:
    """The first true value of `fact` (a function or coroutine function); fails naming `what` after `timeout` seconds."""
    begin = time.monotonic()
    while True:
        value = fact()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        waited = time.monotonic() - begin
        if waited > timeout:
            raise AssertionError(f"still waiting after {timeout:g} s for: {what}")
        await asyncio.sleep(min(max(SOONEST, waited / 20), LATEST))
