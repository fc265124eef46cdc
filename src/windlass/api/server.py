"""Serving the API by uvicorn, perhaps with a worker in the same loop, and ending both in the orderly way."""

import asyncio
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from windlass.api.news import close_all

if TYPE_CHECKING:
    from windlass.app import Windlass

_STOPS = (signal.SIGINT, signal.SIGTERM)


class Server(uvicorn.Server):
    """uvicorn's own sends itself the signal again when it has ended, which would end the process before the worker has given
    back its jobs."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Streams have no end of their own, and the server waits for them."""
        close_all()
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Hear the signals for as long as it serves."""
        if sys.platform == "win32":  # loops there take no signal handlers
            with super().capture_signals():
                yield
            return
        loop = asyncio.get_running_loop()
        for number in _STOPS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in _STOPS:
                loop.remove_signal_handler(number)


async def serve(app: "Windlass", config: uvicorn.Config, *, worker: bool) -> None:
    """Serve until a signal. With `worker`, jobs run here too: it stops when the server has, and a worker that breaks takes the
    server with it, or nobody would notice that nothing runs."""
    server = Server(config)
    if not worker:
        await server.serve()
        return
    crew = app.worker()
    working = asyncio.create_task(crew.run(), name="windlass-embedded-worker")
    working.add_done_callback(lambda _: setattr(server, "should_exit", True))
    try:
        await server.serve()
    finally:
        await crew.stop()
        await working
