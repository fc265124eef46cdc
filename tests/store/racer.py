"""One process of the race over a shared store: claims and completes until nothing is left, then prints the ids as JSON."""

import asyncio
import json
import os
import sys

from tests.store.kit import Hand
from windlass.store import Store, open_store


async def race(store: Store, name: str) -> list[str]:
    """Claim and complete five at a time; the ids that were ours."""
    hand = Hand(store, name)
    done: list[str] = []
    while claims := await hand.take(5):
        await hand.complete(*claims)
        done += [claim.id for claim in claims]
    return done


async def main(url: str, namespace: str) -> None:
    store = open_store(url, namespace)
    await store.open()
    try:
        print(json.dumps(await race(store, f"process-{os.getpid()}")))
    finally:
        await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
