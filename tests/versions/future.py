"""This test process as a newer version of Windlass: one schema step more than the workers' processes know."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from windlass.store.postgres import migrate as postgres
from windlass.store.redis import migrate as redis
from windlass.store.sqlite import migrate as sqlite

NAME = "0099_future"


@contextmanager
def newer(*, breaking: bool) -> Iterator[None]:
    """Every engine's code knows one step more in the block, which leaves a trace of its own."""
    steps = sqlite.steps()
    step = sqlite.Step(steps[-1].version + 1, NAME[5:], breaking, 'create table "{ns}_future" (n integer)')
    load = postgres.load

    def text_of(package: str, file: str) -> str:
        return "CREATE TABLE {schema}.future (n integer);" if NAME in file else load(package, file)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite, "steps", lambda: (*steps, step))
        patch.setattr(postgres, "STEPS", (*postgres.STEPS, (NAME, breaking)))
        patch.setattr(postgres, "load", text_of)
        patch.setattr(redis, "STEPS", (*redis.STEPS, redis.Step(NAME, breaking)))
        yield
