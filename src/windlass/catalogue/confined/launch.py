"""Becomes a confined program: dies with its worker, takes limits, then is the program. Run by path; imports no Windlass.

`launch.py PARENT LIMITS become program argument...`, or `launch.py PARENT LIMITS run PATHS script.py argument...`, which runs
the script inside this interpreter and saves starting another one. LIMITS: `cpu,memory,file` in seconds and bytes, 0 for none.
"""

import contextlib
import ctypes
import os
import resource
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1
_REFUSED = () if sys.platform == "linux" else (ValueError, OSError)
"""macOS knows limits that it does not let anybody set; there the others have to do."""
_NICE = 5
"""Programs that compute for minutes on every core leave the worker's heartbeat its turn."""


def confine(parent: int, limits: str) -> None:
    """Tie this process to `parent` and give it its limits."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:  # the worker went before the request took effect
        os._exit(1)
    kinds = (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_FSIZE)
    for kind, text in zip(kinds, limits.split(","), strict=True):
        limit = int(text)
        if limit:
            hard = resource.getrlimit(kind)[1]
            most = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            # SIGXCPU comes at the soft limit; who carries on gets SIGKILL five seconds of computing later.
            last = most + 5 if kind == resource.RLIMIT_CPU and hard == resource.RLIM_INFINITY else most
            with contextlib.suppress(*_REFUSED):
                resource.setrlimit(kind, (most, last))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(_NICE)
    # Python ignores these two, and a program that it becomes would inherit that.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)


def main() -> None:
    """Confine this process, then run the program in it."""
    parent, limits, how, *command = sys.argv[1:]
    confine(int(parent), limits)
    if how == "run":
        paths, script, *_ = command
        sys.path[:] = [*paths.split(os.pathsep), *sys.path]
        sys.argv = command[1:]
        runpy.run_path(script, run_name="__main__")
    else:
        os.execv(command[0], command)


if __name__ == "__main__":
    main()
