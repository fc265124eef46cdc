"""What a handler writes with `logging` and `print` becomes lines of its job, and still goes where it always went.

The running attempt is found through a context variable, so threads, tasks and child processes need no other plumbing.
Records are seen through the record factory rather than a handler: a handler on the root logger would switch off
`logging`'s handler of last resort and silence warnings of programs that never configured logging.
"""

import io
import logging
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TextIO, cast

from windlass.values.failure import safe_text

LONGEST_LINE = 8 * 1024
"""Bytes of one log line; the rest of a longer one is cut."""

MOST_LINES = 1_000
"""Lines one attempt may write, as many as a store keeps of a job."""

_LONGEST_PART = 4 * LONGEST_LINE
_FORMATTER = logging.Formatter()


class Sink(Protocol):
    """Takes the lines of a running attempt, from any thread."""

    partial: str
    """What was printed since the last end of line."""

    def line(self, level: str, text: str) -> None: ...


CURRENT: ContextVar[Sink | None] = ContextVar("windlass_attempt", default=None)
"""The attempt that this context belongs to."""


class Spender(Protocol):
    """Takes what a running attempt spends elsewhere."""

    def cost(self, amount: float) -> None: ...


CONTEXT: ContextVar[Spender | None] = ContextVar("windlass_context", default=None)
"""The handler's `ctx`, where one was made for it."""


@contextmanager
def capturing() -> Generator[None]:
    """Capture for as long as the block lasts; blocks may overlap (several workers in one process)."""
    _capture.begin()
    try:
        yield
    finally:
        _capture.end()


def fit(text: str) -> str:
    """`text` as a log line: safe for every store, at most `LONGEST_LINE` bytes."""
    text = safe_text(text, LONGEST_LINE)
    if len(text) * 4 <= LONGEST_LINE:
        return text
    return text.encode()[:LONGEST_LINE].decode("utf-8", "ignore")


def flush_partial(sink: Sink) -> None:
    """The attempt is over: a last line without an end of line counts too."""
    if sink.partial:
        text, sink.partial = sink.partial, ""
        sink.line("info", text)


class _Capture:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._factory: Any = None
        self._installed: Any = None
        self._stdout: _Tee | None = None

    def begin(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._factory = logging.getLogRecordFactory()
                self._installed = self._record
                logging.setLogRecordFactory(self._installed)
                self._stdout = _Tee(sys.stdout)
                sys.stdout = cast(TextIO, self._stdout)

    def end(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users:
                return
            # Only what is still ours is put back: somebody may have wrapped it since.
            if logging.getLogRecordFactory() is self._installed:
                logging.setLogRecordFactory(self._factory)
            if self._stdout is not None and sys.stdout is cast(TextIO, self._stdout):
                sys.stdout = self._stdout.inner

    def _record(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record: logging.LogRecord = self._factory(*args, **kwargs)
        sink = CURRENT.get()
        if sink is not None and not record.name.startswith("windlass."):
            try:
                sink.line(record.levelname.lower(), _message(record))
            except Exception:  # a record whose arguments do not fit its text is logging's to complain about
                sink.line(record.levelname.lower(), _bare(record))
        return record


def _message(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info and record.exc_info[0] is not None:
        text = f"{text}\n{_FORMATTER.formatException(record.exc_info)}"
    return text


def _bare(record: logging.LogRecord) -> str:
    try:
        return str(record.msg)
    except Exception:  # an object without text must not fail the handler that logged it
        return f"<{type(record.msg).__name__} without text>"


class _Tee(io.TextIOBase):
    """Standard output that also gives what a handler prints to its job, line by line."""

    def __init__(self, inner: TextIO) -> None:
        super().__init__()
        self.inner = inner

    def write(self, text: str, /) -> int:
        sink = CURRENT.get()
        if sink is not None:
            *lines, rest = (sink.partial + text).split("\n")
            for line in lines:
                sink.line("info", line)
            if len(rest) > _LONGEST_PART:
                sink.line("info", rest)
                rest = ""
            sink.partial = rest
        return self.inner.write(text)

    def flush(self) -> None:
        self.inner.flush()

    def close(self) -> None:
        self.inner.flush()

    def fileno(self) -> int:
        return self.inner.fileno()

    def isatty(self) -> bool:
        return self.inner.isatty()

    def writable(self) -> bool:
        return True

    def __getattribute__(self, name: str) -> Any:
        if name in _FORWARDED:
            return getattr(object.__getattribute__(self, "inner"), name)
        return super().__getattribute__(name)

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "inner"), name)


_FORWARDED = frozenset({"encoding", "errors", "newlines", "buffer", "mode", "name", "reconfigure", "closed"})
_capture = _Capture()
