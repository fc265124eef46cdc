"""The process lane: warm child processes that run CPU-bound `def` handlers and can be killed."""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from multiprocessing import spawn
from time import monotonic
from typing import Any

from windlass.declare.handler import Handler
from windlass.running.effects import Ledger
from windlass.running.steps import Book
from windlass.values.outcome import Finish, judge
from windlass.worker import wire
from windlass.worker.run import STOP_GRACE, Ended, Run, Why, late_end, stopped_end
from windlass.workflows.parents import NO_PARENTS

log = logging.getLogger("windlass.worker")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


class ChildDied(Exception):
    """The process that ran the attempt is gone: killed, out of memory, crashed, or ended by its own handler."""


class ProcessLane:
    """Up to `size` children, started when the worker starts if there is anything for them to run."""

    def __init__(
        self, size: int, handlers: Mapping[str, Handler[Any, Any]], ended: Ended, freed: Callable[[], None], worker: str
    ) -> None:
        """`freed`: told when a child has become ready."""
        self._size = size
        self._freed = freed
        self._setup = _setup(worker, handlers)
        self._ended = ended
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Run] = deque()
        self._children: set[_Child] = set()
        self._pause = 0.0
        self._closing = False

    def warm(self) -> None:
        """Start the children now rather than at the first job."""
        if self._setup.handlers:
            while len(self._children) < self._size:
                self._spawn()

    def free(self) -> int:
        return self._size - sum(child.run is not None for child in self._children) - len(self._queue)

    def idle(self) -> int:
        """Ready children; while some are on their way, those are not counted, nor are others that could be started."""
        ready = sum(child.ready and child.run is None and not child.retired for child in self._children)
        starting = any(not child.ready for child in self._children)
        return max(0, ready + (0 if starting else self._size - len(self._children)) - len(self._queue))

    def put(self, run: Run) -> None:
        self._queue.append(run)
        self._dispatch()

    def unstarted(self) -> list[Run]:
        runs = list(self._queue)
        self._queue.clear()
        return runs

    def stop(self, run: Run, why: Why) -> None:
        child = next((child for child in self._children if child.run is run), None)
        if run.ended or child is None:
            return
        if run.why is None:
            run.why = why
            run.drop_timer()
            run.timer = self._loop.call_later(STOP_GRACE, child.kill)
            child.halt(why)
        elif why is Why.LOST:
            run.why = why

    def leave(self) -> None:
        """Tell the children that the worker is about to leave."""
        for child in self._children:
            child.leave()

    async def close(self) -> None:
        self._closing = True
        children = list(self._children)
        for child in children:
            child.retire()
        await asyncio.gather(*(child.gone(2.0) for child in children))

    def _spawn(self) -> None:
        self._children.add(_Child(self, self._setup))

    def _dispatch(self) -> None:
        idle = [child for child in self._children if child.ready and child.run is None and not child.retired]
        while self._queue and idle:
            run = self._queue.popleft()
            if run.ended:
                continue
            now = monotonic()
            if now > run.late:
                run.ended = True
                self._ended(run, late_end(run, self._worker))
                continue
            run.started = now
            if run.rules.timeout is not None:
                run.timer = self._loop.call_later(run.rules.timeout, self.stop, run, Why.TIMEOUT)
            idle.pop().start(run)
        waiting = len(self._queue) - sum(not child.ready for child in self._children)
        while waiting > 0 and len(self._children) < self._size and not self._pause and not self._closing:
            waiting -= 1
            self._spawn()

    # what a child tells

    def is_ready(self) -> None:
        self._pause = 0.0
        self._dispatch()
        self._freed()

    def has_ended(self, child: "_Child", run: Run, finish: Finish | None) -> None:
        run.drop_timer()
        if run.why is not None:  # it was interrupted somewhere: a fresh process is the clean way on
            child.retire()
        run.ended = True
        self._ended(run, None if run.why is Why.LOST else finish)
        self._dispatch()

    def has_gone(self, child: "_Child", run: Run | None, how: str) -> None:
        self._children.discard(child)
        if run is not None and not run.ended:
            run.drop_timer()
            run.ended = True
            if run.why is not None:
                finish = stopped_end(run, None, self._worker)
            else:
                finish = judge(run.claim, ChildDied(how), run.rules.run, self._worker, run.took())
            self._ended(run, finish)
        if self._closing:
            return
        if not child.ready:
            self._failed_to_start(how)
        elif not self._pause:
            self._spawn()

    def _failed_to_start(self, how: str) -> None:
        """Children that die before they are ready must not be replaced in a hot loop, nor hold up the jobs for ever."""
        log.error("a child process did not start: %s", how)
        self._pause = min(self._pause * 2 or _FIRST_PAUSE, _LONGEST_PAUSE)
        for run in self.unstarted():
            run.ended = True
            error = ChildDied(f"no child process could start: {how}")
            self._ended(run, judge(run.claim, error, run.rules.run, self._worker, 0))
        self._loop.call_later(self._pause, self._try_again)

    def _try_again(self) -> None:
        if not self._closing and len(self._children) < self._size:
            self._spawn()


class _Child:
    """One child process, seen from the worker."""

    def __init__(self, lane: ProcessLane, setup: wire.Setup) -> None:
        self._lane = lane
        self.run: Run | None = None
        self.ready = False
        self.retired = False
        ours, theirs = socket.socketpair()
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from windlass.worker.child import main; main({theirs.fileno()}, {os.getpid()})"
        )
        # Popen on the loop's thread: the kernel ties a child's death signal to the thread that forked it.
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        self._writer: asyncio.StreamWriter | None = None
        self._asking: asyncio.Task[None] | None = None
        self._task = asyncio.get_running_loop().create_task(self._serve(ours, setup))

    def start(self, run: Run) -> None:
        self.run = run
        parents = run.parents
        family = None if parents is NO_PARENTS else wire.Family(parents.known, parents.count)
        self._send(wire.Start(run.claim, family))

    def halt(self, why: Why) -> None:
        self._send(wire.Halt(why))
        self._process.send_signal(signal.SIGTERM)

    def leave(self) -> None:
        self._send(wire.Leave())

    def kill(self) -> None:
        self._process.kill()

    def retire(self) -> None:
        """No more work: closing the pipe ends an idle child."""
        self.retired = True
        if self._writer is not None and self.ready:
            self._writer.close()
        else:
            self.kill()

    async def gone(self, patience: float) -> None:
        """Until the process has ended; killed if it does not go by itself."""
        end = monotonic() + patience
        while self._process.poll() is None:
            if monotonic() >= end:
                self.kill()
            await asyncio.sleep(0.005)
        await asyncio.wait([self._task])

    def _send(self, message: wire.Down) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(wire.frame(message))

    async def _serve(self, ours: socket.socket, setup: wire.Setup) -> None:
        reader, self._writer = await asyncio.open_unix_connection(sock=ours)
        self._send(setup)
        try:
            while True:
                (size,) = wire.LENGTH.unpack(await reader.readexactly(wire.LENGTH.size))
                self._hear(wire.up.decode(await reader.readexactly(size)))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the end of the pipe is how a child says goodbye, whatever became of it
        finally:
            self._writer.close()
            if self._asking is not None:
                self._asking.cancel()  # a record under way still gets a moment
        how = await self._ending()
        run, self.run = self.run, None
        self._lane.has_gone(self, run, how)

    def _hear(self, message: wire.Up) -> None:
        run = self.run
        if isinstance(message, wire.Ready):
            self.ready = True
            self._lane.is_ready()
        elif run is None:
            return
        elif isinstance(message, wire.Progressed):
            run.progress(message.percent, message.note)
        elif isinstance(message, wire.Line):
            run.notes.line(run.claim, message.level, message.text)
        elif isinstance(message, wire.Spent):
            run.spend(message.millionths)
        elif isinstance(message, wire.Begun):
            self._book(run).begin(message.step)
        elif isinstance(message, wire.Ask):
            self._asking = asyncio.get_running_loop().create_task(self._answer(run, message))
        else:
            self.run = None
            run.measured(message.cpu, message.memory)
            self._lane.has_ended(self, run, message.finish)

    def _book(self, run: Run) -> Book:
        return run.notes.book(run.claim, run.handler.door.result_limit, blocking=False)

    def _ledger(self, run: Run) -> Ledger:
        return run.notes.ledger(run.claim, run.handler.door.result_limit, blocking=False)

    async def _answer(self, run: Run, ask: wire.Ask) -> None:
        """Do for the child's handler what it waits for. One that was stopped has its last step recorded all the same."""
        book = self._book(run)
        try:
            if ask.record is not None:
                answer = wire.Answer(ask.number, noted=await book.write(ask.record))
            elif ask.look is not None:
                answer = wire.Answer(ask.number, seen=await self._ledger(run).look(*ask.look))
            elif ask.put is not None:
                answer = wire.Answer(ask.number, changed=await self._ledger(run).put(ask.put))
            elif ask.read:
                answer = wire.Answer(ask.number, steps=await book.read())
            else:
                answer = wire.Answer(ask.number, now=await book.now())
        except Exception as error:  # the store cannot take it: the handler hears why
            log.exception("a step or an effect of %s %s cannot be recorded", run.claim.kind, run.claim.id)
            answer = wire.Answer(ask.number, refused=f"{type(error).__name__}: {error}")
        if self.run is run:
            self._send(answer)

    async def _ending(self) -> str:
        """How the process ended. One that closed its pipe yet lives on (a handler's own thread) is killed."""
        end = monotonic() + STOP_GRACE
        while (code := self._process.poll()) is None:
            if monotonic() >= end:
                self.kill()
            await asyncio.sleep(0.002)
        if code < 0:
            return f"the child process was killed by {signal.Signals(-code).name}"
        return f"the child process ended with exit code {code} while its handler ran"


def _setup(worker: str, handlers: Mapping[str, Handler[Any, Any]]) -> wire.Setup:
    places = {
        kind: (str(getattr(handler.fn, "__module__", "")), str(getattr(handler.fn, "__qualname__", "")))
        for kind, handler in handlers.items()
        if handler.runtime == "process"
    }
    main: dict[str, Any] = {}
    if any(module == "__main__" for module, _ in places.values()):
        main = spawn.get_preparation_data("windlass-child")
    return wire.Setup(
        worker=worker,
        handlers=places,
        sys_path=list(sys.path),
        sys_argv=list(sys.argv),
        main_name=main.get("init_main_from_name"),
        main_path=main.get("init_main_from_path"),
    )
