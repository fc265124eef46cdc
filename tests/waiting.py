"""Waiting for facts, so that no test sleeps and hopes."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any


async def until(fact: Callable[[], Any | Awaitable[Any]], what: str, timeout: float = 10.0) -> Any:
    """The first true value of `fact` (a function or coroutine function); fails naming `what` after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        value = fact()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"still waiting after {timeout:g} s for: {what}")
        await asyncio.sleep(0.002)
