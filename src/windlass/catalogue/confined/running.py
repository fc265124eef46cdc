"""Starts a confined program, hears what it says, and ends it: when it hangs, takes too much room, or its job is stopped."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic

import msgspec

from windlass import WindlassError

_LAUNCH = Path(__file__).with_name("launch.py")
_GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL. A stopped attempt has 5 to unwind."""
_LOOK = 0.25
"""Seconds between looks at the time limits and the room taken."""
_LONGEST_LINE = 64 * 1024
_TAIL = 16 * 1024
_MOST_OUTPUT = 16 * 1024 * 1024
_KEPT_ENVIRONMENT = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
    *("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"),
)
"""A decoder of untrusted files needs none of the worker's keys and passwords."""


class ProgramMissing(WindlassError):
    """`program`: what is not installed here. Another worker may have it, so this is no fault of the job."""

    code = "program-missing"
    category = "temporary"


class ProgramFailed(WindlassError):
    """`program`, `exit`: its exit code, negative for a signal; `said`: the end of what it wrote to stderr."""

    code = "program-failed"
    category = "temporary"


class ProgramHung(ProgramFailed):
    """It ran into its time limit, or did nothing for too long."""

    code = "program-hung"


class ProgramTooBig(ProgramFailed):
    """It wanted more room, memory or computing time than it may have: so it will the next time."""

    code = "program-too-big"
    category = "permanent"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a program may take; 0 is no limit. `timeout`: seconds of the clock; `stall`: seconds without a line that moves it
    on; `cpu`: seconds of computing; `memory`: bytes of address space; `file`: the largest file it may write, in bytes; `room`:
    all bytes under its folder."""

    timeout: float = 60.0
    stall: float = 0.0
    cpu: int = 0
    memory: int = 0
    file: int = 0
    room: int = 0


class Done(msgspec.Struct, frozen=True):
    """How it ended. `out`: what it wrote, unless every line was handed on; `said`: the end of its stderr."""

    code: int
    out: bytes
    said: str
    took: float


OnLine = Callable[[str], bool]
"""Hears each line of output; true if it shows that the program moves on."""


async def run(
    command: Sequence[str | Path],
    *,
    limits: Limits,
    folder: Path | None = None,
    given: bytes = b"",
    on_line: OnLine | None = None,
) -> Done:
    """Run a program to its end. `folder`: where it runs; `given`: its standard input.

    Raises `ProgramMissing`, `ProgramHung`, `ProgramTooBig`; any other end is in the answer's `code`. When the awaiting task is
    cancelled the program is ended first: SIGTERM to its whole session, SIGKILL two seconds later. Where the worker itself is
    killed the kernel ends the program (Linux).
    """
    program = shutil.which(str(command[0]))
    if program is None:
        raise ProgramMissing(f"{command[0]} is not installed on this machine", program=str(command[0]))
    return await _Program([program, *map(str, command[1:])], limits, folder, on_line).run(given)


def script(path: Path, *arguments: str) -> list[str | Path]:
    """The command that runs one of our own Python files."""
    return [sys.executable, path, *arguments]


class _Program:
    def __init__(self, command: list[str], limits: Limits, folder: Path | None, on_line: OnLine | None) -> None:
        self._command = command
        self._limits = limits
        self._folder = folder
        self._on_line = on_line
        self._is_ours = command[0] == sys.executable and command[1:2] != [] and command[1].endswith(".py")
        self._name = Path(command[self._is_ours]).stem
        self._out = bytearray()
        self._said = bytearray()
        self._trouble: Exception | None = None
        """What whoever listens has raised. The pipe is emptied all the same: asyncio tells of no end before it is."""
        self._began = self._moved = monotonic()

    async def run(self, given: bytes) -> Done:
        process = await asyncio.create_subprocess_exec(
            *self._launched(),
            stdin=asyncio.subprocess.PIPE if given else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self._folder,
            env={name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ},
            start_new_session=True,
            limit=_LONGEST_LINE,
        )
        talk = asyncio.gather(_write(process.stdin, given), self._hear(process.stdout), self._note(process.stderr))
        end = asyncio.ensure_future(process.wait())
        try:
            await self._watch(end)
            # A grandchild may hold the pipes open: the program's own end is what counts.
            await asyncio.wait([talk], timeout=_GRACE)
        finally:
            await _kill(process, end)
            talk.cancel()
            await asyncio.gather(talk, return_exceptions=True)
        code = process.returncode if process.returncode is not None else -signal.SIGKILL
        self._check_signal(code)
        return Done(code, bytes(self._out), self._last_words(), monotonic() - self._began)

    def _launched(self) -> list[str]:
        limits = self._limits
        numbers = f"{limits.cpu},{limits.memory},{limits.file}"
        # Without `site` and the environment's paths it starts sooner and sees no more than it has to; our own scripts get
        # the worker's import path, wherever its libraries are.
        python = [sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid()), numbers]
        if self._is_ours:
            return [*python, "run", os.pathsep.join(path for path in sys.path if path), *self._command[1:]]
        return [*python, "become", *self._command]

    async def _watch(self, end: "asyncio.Future[int]") -> None:
        limits = self._limits
        while True:
            await asyncio.wait([end], timeout=_LOOK)
            if self._trouble is not None:
                raise self._trouble
            if end.done():
                return
            now = monotonic()
            if now - self._began > limits.timeout:
                raise self._fault(ProgramHung, f"took longer than {limits.timeout:g} s")
            if limits.stall and now - self._moved > limits.stall:
                raise self._fault(ProgramHung, f"did nothing for {limits.stall:g} s")
            if limits.room and self._folder is not None and await asyncio.to_thread(taken, self._folder) > limits.room:
                raise self._fault(ProgramTooBig, f"wants more than {limits.room:,} bytes of disk")

    async def _hear(self, stream: asyncio.StreamReader | None) -> None:
        assert stream is not None
        if self._on_line is None:
            while (part := await stream.read(_LONGEST_LINE)) and len(self._out) < _MOST_OUTPUT:
                self._out += part
            while await stream.read(_LONGEST_LINE):
                pass
            return
        while line := await _line(stream):
            if self._trouble is not None:
                continue
            try:
                if self._on_line(line.decode("utf-8", "replace").rstrip("\r\n")):
                    self._moved = monotonic()
            except Exception as error:
                self._trouble = error

    async def _note(self, stream: asyncio.StreamReader | None) -> None:
        assert stream is not None
        while part := await stream.read(4096):
            self._said += part
            del self._said[:-_TAIL]

    def _last_words(self) -> str:
        return self._said.decode("utf-8", "replace").strip()

    def _check_signal(self, code: int) -> None:
        if code == -signal.SIGXFSZ:
            raise self._fault(ProgramTooBig, f"wanted to write a file over {self._limits.file:,} bytes", code)
        if code == -signal.SIGXCPU:
            raise self._fault(ProgramTooBig, f"computed for more than {self._limits.cpu} s", code)

    def _fault(self, kind: type[ProgramFailed], what: str, code: int = 0) -> ProgramFailed:
        return kind(f"{self._name} {what}", program=self._name, exit=code, said=self._last_words())


async def _line(stream: asyncio.StreamReader) -> bytes:
    """The next line; one that is too long is passed over."""
    while True:
        try:
            return await stream.readline()
        except ValueError:
            continue


async def _write(stream: asyncio.StreamWriter | None, given: bytes) -> None:
    if stream is None:
        return
    with contextlib.suppress(ConnectionError):  # it does not want to read all of it; its exit code tells more
        stream.write(given)
        await stream.drain()
    stream.close()


async def _kill(process: asyncio.subprocess.Process, end: "asyncio.Future[int]") -> None:
    """End what is left of the program's session. A cancellation meanwhile is raised again when that is done."""
    interrupted = False
    if not end.done():
        _signal(process.pid, signal.SIGTERM)
        interrupted = await _until(end, _GRACE)
    _signal(process.pid, signal.SIGKILL)  # its children too, which share the session
    if await _until(end, None) or interrupted:
        raise asyncio.CancelledError


async def _until(end: "asyncio.Future[int]", seconds: float | None) -> bool:
    """Wait for the end, for so long at most; whether the wait was to be cancelled."""
    interrupted = False
    stop = None if seconds is None else monotonic() + seconds
    while not end.done() and (stop is None or monotonic() < stop):
        try:
            await asyncio.wait([end], timeout=None if stop is None else stop - monotonic())
        except asyncio.CancelledError:
            interrupted = True
    return interrupted


def _signal(group: int, how: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, how)


def taken(folder: Path) -> int:
    """How many bytes the files under a folder have."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # gone meanwhile
                total += (Path(where) / name).lstat().st_size
    return total
