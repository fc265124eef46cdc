"""What a job takes of a child process: CPU time of all its threads and of programs it waited for, and memory at its highest."""

import contextlib
import resource
import sys
from pathlib import Path

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_RESET_PEAK = "5"
_UNIT = 1 if sys.platform == "darwin" else 1_024


class Meter:
    """Measures from `start` to `stop`. The kernel's peak is of the whole process; on Linux it is set back at each start,
    elsewhere a job's memory reads as the highest so far."""

    def __init__(self) -> None:
        self._cpu = 0.0
        self._resets = True

    def start(self) -> None:
        """A job begins."""
        self._cpu = _cpu()
        if self._resets:
            try:
                _CLEAR.write_text(_RESET_PEAK)
            except OSError:  # another system, or a container that does not let us
                self._resets = False

    def stop(self) -> tuple[int, int]:
        """CPU time since the start in microseconds, and the highest memory in bytes."""
        return max(0, round((_cpu() - self._cpu) * 1e6)), self._peak()

    def _peak(self) -> int:
        if self._resets:
            with contextlib.suppress(OSError, ValueError, IndexError):
                status = _STATUS.read_text()
                return int(status.split("VmHWM:", 1)[1].split(None, 1)[0]) * 1_024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT


def _cpu() -> float:
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime
