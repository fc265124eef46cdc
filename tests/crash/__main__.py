"""`python -m tests.crash --engine redis --seconds 600 --seed 7`: one long run; exit code 1 if anything was wrong."""

import argparse
import asyncio
import os
import signal
import sys

from tests.crash.places import ENGINES
from tests.crash.run import Plan, run
from tests.crash.summary import summary


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--engine", choices=ENGINES, action="append", help="again for several; all by default")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lease", type=float, default=2.0)
    given = parser.parse_args(arguments)
    # Cancels the run, which then ends its workers and servers.
    signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    wrong = 0
    for engine in given.engine or ENGINES:
        outcome = asyncio.run(run(Plan(engine, given.seconds, given.seed, given.lease)))
        print(summary(outcome), flush=True)
        wrong += bool(outcome.kept)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
