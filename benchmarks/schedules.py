"""Due times against the oracle, all of them: `python -m benchmarks.schedules [--years 2010 2016] [--processes 2]`.

Every minute of every zone is looked at by a naive walk (`tests/unit/cron_oracle.py`); what `windlass.values.cron` says is
compared. Ends with exit code 1 if one due time is wrong.
"""

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import takewhile
from typing import NamedTuple

from tests.unit.cron_oracle import EXPRESSIONS, ZONES, span, walk

from windlass.values.clock import SECOND
from windlass.values.cron import due_times, read_cron, read_zone


class Compared(NamedTuple):
    """A zone's figures: due times, how many were wrong (missing or too many), seconds that Windlass took for them."""

    zone: str
    due: int
    wrong: int
    took: float


def compare(zone: str, years: range) -> Compared:
    """Walk one zone."""
    start, end = span(years)
    truth = walk(zone, EXPRESSIONS, start, end)
    due = wrong = 0
    took = 0.0
    for text in EXPRESSIONS:
        began = time.perf_counter()
        walked = due_times(read_cron(text), read_zone(zone), start * SECOND - 1)
        found = [at // SECOND for at, _ in takewhile(lambda each: each[0] < end * SECOND, walked)]
        took += time.perf_counter() - began
        due += len(truth[text])
        wrong += len(set(found) ^ set(truth[text])) + abs(len(found) - len(set(found)))
    return Compared(zone, due, wrong, took)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--years", nargs=2, type=int, default=(2010, 2016), metavar=("FIRST", "LAST"))
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    years = range(given.years[0], given.years[1] + 1)
    with ProcessPoolExecutor(given.processes) as pool:
        rows = list(pool.map(partial(compare, years=years), ZONES))
    for row in rows:
        print(f"{row.zone:22} {row.due:>10,} due times  {row.wrong:>4} wrong  {row.took / row.due * 1e6:6.1f} us each")
    due, wrong = sum(row.due for row in rows), sum(row.wrong for row in rows)
    print(f"{len(rows)} zones, {len(years)} years, {len(EXPRESSIONS)} expressions: {due:,} due times, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
