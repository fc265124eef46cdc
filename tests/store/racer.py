"""One process of the race over a shared store: claims and completes until nothing is left, then prints the ids as JSON; or
under limits, and then (id, begin, end) of each in microseconds of the machine's clock."""

import asyncio
import json
import os
import sys
import time

from tests.store.kit import Hand
from windlass.store import Store, open_store
from windlass.values.states import State


async def race(store: Store, name: str) -> list[str]:
    """Claim and complete five at a time; the ids that were ours."""
    hand = Hand(store, name)
    done: list[str] = []
    while claims := await hand.take(5):
        await hand.complete(*claims)
        done += [claim.id for claim in claims]
    return done


async def race_under_limits(store: Store, name: str) -> list[tuple[str, int, int]]:
    """Until nothing is left for anybody: what is full now may be free later."""
    hand = Hand(store, name)
    done: list[tuple[str, int, int]] = []
    while {count.state for count in await store.counts()} & {State.WAITING, State.ACTIVE}:
        begin: dict[str, int] = {}
        claims = (await hand.ask(5)).jobs
        for claim in claims:
            begin[claim.id] = time.time_ns() // 1_000
        await asyncio.sleep(0.001)
        for claim in claims:
            done.append((claim.id, begin[claim.id], time.time_ns() // 1_000))
            await hand.complete(claim)
    return done


async def main(url: str, namespace: str, manner: str = "plain") -> None:
    store = open_store(url, namespace)
    await store.open()
    try:
        run = race_under_limits if manner == "limited" else race
        print(json.dumps(await run(store, f"process-{os.getpid()}")))
    finally:
        await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
