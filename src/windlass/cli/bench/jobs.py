"""The benchmark's job; its workers are started with `-A windlass.cli.bench.jobs:app`."""

import time
from typing import Any

from windlass import Windlass


async def noop(item: dict[str, Any]) -> dict[str, int]:
    """One small dict in and out; it says when it ran, in microseconds of this machine's clock."""
    return {"n": item["n"], "ran": time.time_ns() // 1_000}


def build(url: str | None = None, namespace: str | None = None) -> Windlass:
    """An app that has the job. Without arguments it goes by the environment, as the benchmark's workers do."""
    made = Windlass(url, namespace=namespace, maintenance=False)
    made.job(queue="bench")(noop)
    return made


app = build()


def item(n: int) -> dict[str, Any]:
    """A small dict as people send them."""
    return {"n": n, "to": f"user-{n}@example.com", "subject": "Welcome"}


def padded(n: int) -> dict[str, Any]:
    """One whose arguments are about 130 bytes of JSON, for `bytes_per_job`."""
    return {"n": n, "to": f"user-{n:06}@example.com", "subject": "Welcome", "text": "x" * 50}
