"""A child process of the process runtime: imports the handlers once, then runs one job at a time for its worker.

The parent holds the lease and the store; progress, lines and the end of each attempt go up the pipe. The child ends when
the pipe closes, and on Linux the kernel ends it with its parent.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Generator
from importlib import import_module
from multiprocessing import spawn
from queue import SimpleQueue
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

import msgspec

from windlass.declare.handler import Handler
from windlass.errors import InvalidArgs
from windlass.running.capture import capturing
from windlass.running.context import Ack, Context
from windlass.running.effects import Change, Changed, Seen
from windlass.secrecy.veil import discreet
from windlass.values.job import Claim
from windlass.values.lease import Noted, Step, StoredStep
from windlass.values.outcome import DEFAULT_RULES, Finish, judge
from windlass.worker import wire
from windlass.worker.lifeline import die_with
from windlass.worker.measuring import Meter
from windlass.worker.plain import PlainCall
from windlass.worker.resources import opened
from windlass.worker.run import Run, Stopped, Why, raised_end
from windlass.workflows.parents import Parents

if TYPE_CHECKING:
    from windlass.app import Windlass

serving = False
"""Whether this process is a child; a script without a `__main__` guard must not start a worker when it is imported here."""

_DONE = Ack()


class HandlerNotImportable(Exception):
    """A process-runtime handler could not be found in the child; the message says why."""

    retryable = False


class _Pipe:
    """The child's end of the socket pair. Frames may be sent from any thread."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._sending = threading.Lock()
        # A process that a handler forks (multiprocessing does) must not keep the pipe open: its end is how the worker
        # learns of this child's death, and two readers would take each other's frames.
        os.register_at_fork(after_in_child=self._socket.close)

    def send(self, message: msgspec.Struct) -> None:
        with self._sending:
            self._socket.sendall(wire.frame(message))

    def receive(self) -> wire.Down | None:
        """The next frame; None when the parent has closed."""
        head = self._exactly(wire.LENGTH.size)
        body = self._exactly(wire.LENGTH.unpack(head)[0]) if head else None
        return wire.down.decode(body) if body else None

    def _exactly(self, size: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < size:
            try:
                part = self._socket.recv(size - len(parts))
            except ConnectionError:
                return None
            if not part:
                return None
            parts += part
        return bytes(parts)


class _UpNotes:
    """The `Notes` of a child: straight up the pipe."""

    store = None

    def __init__(self, pipe: _Pipe) -> None:
        self._pipe = pipe
        self.leaving = False
        self.answers: SimpleQueue[wire.Answer] = SimpleQueue()
        self._asked = 0

    def book(self, claim: Claim, limit: int, *, blocking: bool) -> "_UpBook":
        return _UpBook(self, limit)

    def begin(self, step: Step) -> None:
        self._pipe.send(wire.Begun(step))

    def ledger(self, claim: Claim, limit: int, *, blocking: bool) -> "_UpLedger":
        return _UpLedger(self, limit)

    def ask(
        self,
        *,
        record: Step | None = None,
        read: bool = False,
        look: tuple[str, str] | None = None,
        put: Change | None = None,
    ) -> wire.Answer:
        """Wait for the worker's answer; one to a handler that was stopped meanwhile is passed over."""
        self._asked += 1
        self._pipe.send(wire.Ask(self._asked, record, read, look, put))
        while (answer := self.answers.get()).number != self._asked:
            pass
        if answer.refused is not None:
            raise InvalidArgs(answer.refused, field="steps")
        return answer

    def progress(self, claim: Claim, percent: float, note: str | None) -> Ack:
        self._pipe.send(wire.Progressed(percent, note))
        return _DONE

    def line(self, claim: Claim, level: str, text: str) -> Ack:
        self._pipe.send(wire.Line(level, text))
        return _DONE


class _UpBook:
    """The book of a child's attempt: the worker keeps it."""

    blocking = True

    def __init__(self, notes: _UpNotes, limit: int) -> None:
        self.limit = limit
        self._notes = notes

    async def read(self) -> list[StoredStep]:
        return self._notes.ask(read=True).steps or []

    async def now(self) -> int:
        return self._notes.ask().now

    def begin(self, step: Step) -> None:
        self._notes.begin(step)

    async def write(self, step: Step) -> Noted:
        return self._notes.ask(record=step).noted or Noted(accepted=False)


class _ChildRun(Run):
    """An attempt in a child: what it spends is told its worker at once."""

    __slots__ = ("pipe",)

    pipe: _Pipe

    def spend(self, millionths: int) -> None:
        self.pipe.send(wire.Spent(millionths))


class _UpLedger:
    """The ledger of a child's attempt: the worker keeps it."""

    blocking = True

    def __init__(self, notes: _UpNotes, limit: int) -> None:
        self.limit = limit
        self._notes = notes

    async def look(self, place: str, request: str) -> Seen:
        return self._notes.ask(look=(place, request)).seen or Seen(None, 0)

    async def put(self, change: Change) -> Changed:
        return self._notes.ask(put=change).changed or Changed(False, 0)


class _Child:
    def __init__(self, pipe: _Pipe, setup: wire.Setup) -> None:
        self._pipe = pipe
        self._meter = Meter()
        self._worker = setup.worker
        self._notes = _UpNotes(pipe)
        self._inbox: SimpleQueue[wire.Start | None] = SimpleQueue()
        self._run: Run | None = None
        self._handlers: dict[str, Handler[Any, Any]] = {}
        self._faults: dict[str, str] = {}
        self._resources: dict[str, Any] = {}
        for kind, (module, name) in setup.handlers.items():
            try:
                self._handlers[kind] = _find(kind, module, name)
            except BaseException as error:  # an import may raise anything, SystemExit too; the jobs tell it
                self._faults[kind] = f"{module}:{name}: {type(error).__name__}: {error}"

    def serve(self) -> None:
        """Run jobs until the parent closes the pipe."""
        apps = {id(handler.door): cast("Windlass", handler.door) for handler in self._handlers.values()}
        with asyncio.Runner() as runner, capturing(), _resources(runner, list(apps.values())) as self._resources:
            signal.signal(signal.SIGTERM, self._on_term)
            threading.Thread(target=self._listen, name="windlass-pipe", daemon=True).start()
            self._pipe.send(wire.Ready())
            while (start := self._inbox.get()) is not None:
                self._meter.start()
                finish = self._attempt(start.claim, start.parents)
                self._pipe.send(wire.Ended(finish, *self._meter.stop()))

    def _listen(self) -> None:
        while True:
            message = self._pipe.receive()
            if message is None:
                if self._run is not None:  # the parent is gone, and with it the lease
                    os._exit(1)
                self._inbox.put(None)
                return
            if isinstance(message, wire.Start):
                self._inbox.put(message)
            elif isinstance(message, wire.Leave):
                self._notes.leaving = True
            elif isinstance(message, wire.Answer):
                self._notes.answers.put(message)
            elif isinstance(message, wire.Halt) and (run := self._run) is not None:
                run.why = Why(message.why)
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    def _on_term(self, signum: int, frame: FrameType | None) -> None:
        """Only the parent stops a job: a SIGTERM meant for the whole group must not break a graceful shutdown."""
        run = self._run
        if run is not None and run.why is not None and not run.ended:
            run.ended = True  # once; the parent kills what does not unwind
            raise Stopped

    def _attempt(self, claim: Claim, parents: wire.Family | None) -> Finish | None:
        handler = self._handlers.get(claim.kind)
        if handler is None:
            fault = HandlerNotImportable(self._faults.get(claim.kind, f"this child does not know {claim.kind!r}"))
            return judge(claim, fault, DEFAULT_RULES, self._worker, 0)
        rules = handler.rules(claim.options)
        if rules.veil is not None:
            claim = discreet(claim)
        run = _ChildRun(claim, handler, rules, self._notes, 0.0)
        run.pipe = self._pipe
        if parents is not None:
            run.parents = Parents(parents.jobs, parents.count)
        call = PlainCall(self._open, cast("Windlass", handler.door).around_sync, self._worker)
        finish: Finish | None = None
        try:
            run.started = monotonic()
            self._run = run
            finish = call.do(run)
            self._run = None
        except Stopped as error:  # it came while the end was being written down; what is written stands
            self._run = None
            finish = finish or raised_end(run, error, self._worker)
        return finish

    def _open(self, run: Run) -> Context:
        return Context(run.claim, run, self._resources)


@contextlib.contextmanager
def _resources(runner: asyncio.Runner, apps: "list[Windlass]") -> Generator[dict[str, Any]]:
    stack = contextlib.AsyncExitStack()
    found: dict[str, Any] = {}
    try:
        for app in apps:
            if app.resources:
                found |= runner.run(stack.enter_async_context(opened(app)))
        yield found
    finally:
        runner.run(stack.aclose())


def _find(kind: str, module: str, name: str) -> Handler[Any, Any]:
    """The handler by its place in the code. The name may still be the plain function, when the decorated one has another."""
    home = sys.modules["__main__"] if module == "__main__" else import_module(module)
    found: Any = home
    for part in name.split("."):
        found = getattr(found, part)
    for value in (found, *vars(home).values()):
        if isinstance(value, Handler):
            handler = cast(Handler[Any, Any], value)
            if handler.kind == kind:
                return handler
    raise LookupError(f"{name} is not a handler of kind {kind!r}")


def _prepare(setup: wire.Setup) -> None:
    """Make modules importable as in the parent; a script's handlers are found by importing it under `__mp_main__`."""
    facts: dict[str, Any] = {"sys_path": setup.sys_path, "sys_argv": setup.sys_argv}
    if setup.main_name is not None:
        facts["init_main_from_name"] = setup.main_name
    elif setup.main_path is not None:
        facts["init_main_from_path"] = setup.main_path
    spawn.prepare(facts)


def main(fd: int, parent: int) -> None:
    """Entry of the child process."""
    global serving
    serving = True
    die_with(parent, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pipe = _Pipe(fd)
    setup = pipe.receive()
    if isinstance(setup, wire.Setup):
        with contextlib.suppress(BrokenPipeError):  # the worker has left
            _prepare(setup)
            _Child(pipe, setup).serve()
