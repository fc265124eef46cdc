"""1,000 mails while workers and the mail server are killed at random.

    python -m benchmarks.mails [--mails 1000] [--worker-kills 30] [--server-kills 6] [--engines sqlite-file,redis]

Prints, for each engine, how many recipients got exactly one mail, how many mails are held (and how many of those had arrived),
how many got two or none. Exits with 1 if anybody got two, or none without being held.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.catalogue.mail_storm import Storm, Tally, play
from tests.store.places import place_for


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=1_000)
    parser.add_argument("--worker-kills", type=int, default=30)
    parser.add_argument("--server-kills", type=int, default=6)
    parser.add_argument("--cut", type=float, default=0.01)
    parser.add_argument("--engines", default="sqlite-file,redis")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    storm = Storm(given.mails, given.worker_kills, given.server_kills, cut=given.cut, seed=given.seed)
    bad = False
    for engine in given.engines.split(","):
        with place_for(engine) as place, tempfile.TemporaryDirectory() as folder:
            tally = asyncio.run(play(place.url, place.namespace, Path(folder), storm, 1_200))
        bad = bad or bool(tally.doubles or tally.lost)
        print(line(engine, storm, tally), flush=True)
    return int(bad)


def line(engine: str, storm: Storm, tally: Tally) -> str:
    return (
        f"{engine:12} {storm.mails} mails, {tally.worker_kills} workers and {tally.server_kills} servers killed, "
        f"{tally.seconds:.1f} s: {tally.delivered[1]} got exactly one, {tally.doubles} two or more, {tally.lost} none; "
        f"{tally.held} held and listed, of which {tally.held_delivered} had arrived"
    )


if __name__ == "__main__":
    sys.exit(main())
