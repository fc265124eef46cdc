"""Dying with the parent: no process that Windlass started outlives the one that started it."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def stop_signals() -> tuple[signal.Signals, ...]:
    """What asks a worker to leave: also its terminal's closing, unless (`nohup`) it is not to hear of that."""
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        return signal.SIGTERM, signal.SIGINT
    return signal.SIGTERM, signal.SIGINT, signal.SIGHUP


def die_with(parent: int, how: signal.Signals) -> None:
    """Ask the kernel to signal this process when its parent dies (Linux; elsewhere the pipe's end tells).

    If `parent` is gone already the request came too late, so this process goes now.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(how))
    if os.getppid() != parent:
        os._exit(1)
