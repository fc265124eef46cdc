"""The jobs of a run: plain ones, tries that fail, delays, unique keys, priorities, parents and children, threads."""

import random
from typing import Any
from zlib import crc32

from tests.crash import program
from tests.crash.history import Wanted
from windlass.values.job import NewJob

_LONGEST_DELAY = 3.0
_KEYS = 12


class Mix:
    """Makes jobs by chance. `known`: jobs that are surely stored, so that others may wait for them."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.known: list[str] = []

    def batch(self) -> list[tuple[NewJob[Any], Wanted]]:
        """What one call enqueues; children may wait for jobs of the same call."""
        made: list[tuple[NewJob[Any], Wanted]] = []
        for _ in range(self._chance.choice((1, 1, 2, 5, 20))):
            made.append(self._one([job.id for job, wanted in made if wanted.unique is None]))
        return made

    def _one(self, before: list[str]) -> tuple[NewJob[Any], Wanted]:
        chance = self._chance
        kind = "threaded" if chance.random() < 0.1 else "plain"
        fails = chance.choice((1, 1, 2, 3, 4)) if chance.random() < 0.12 else 0
        delay = round(chance.uniform(0.2, _LONGEST_DELAY), 3) if chance.random() < 0.12 else 0.0
        priority = chance.choice((-100, -5, 0, 0, 0, 5, 10, 100))
        options: dict[str, Any] = {"priority": priority}
        key, parents = None, ()
        if delay:
            options["delay"] = delay
        elif chance.random() < 0.08:
            key = f"key-{chance.randrange(_KEYS)}"
            options["unique"] = key
        candidates = before[-3:] + self.known[-50:]
        if candidates and chance.random() < 0.12:
            parents = tuple(dict.fromkeys(chance.choices(candidates, k=chance.choice((1, 1, 2)))))
            options["after"] = list(parents)
        pad = "".join(chance.choices('abc"\\\n\x1fäß漢\U0001f600', k=chance.choice((0, 10, 200))))
        seconds = chance.choice((0.0, 0.005, 0.02, 0.05)) if chance.random() < 0.85 else chance.uniform(0.3, 1.5)
        handler = program.app.handlers[kind]
        job = handler.options(**options).job(seconds=seconds, fails=fails, pad=pad)
        wanted = Wanted(
            id=job.id,
            kind=kind,
            fails=fails,
            max_attempts=program.ATTEMPTS,
            delay=delay,
            backoff=program.BACKOFF,
            priority=priority,
            unique=key,
            parents=parents,
            sum=crc32(pad.encode()),
        )
        return job, wanted
