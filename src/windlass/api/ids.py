"""Ids for the jobs of one request: fresh ones, or those that a repeated request makes again from its seed."""

from collections.abc import Iterator
from hashlib import blake2b
from itertools import count
from uuid import UUID

from windlass.produce.ids import new_id


def seeded(seed: str | None) -> Iterator[str]:
    """UUIDv7 of the seed's time; 14 bits behind it number them, so that they sort as they were given, and the rest is drawn from
    the seed by a hash."""
    if seed is None:
        while True:
            yield new_id()
    time = UUID(seed).int >> 80
    for number in count():
        drawn = int.from_bytes(blake2b(f"{seed} {number}".encode(), digest_size=8).digest()) & ((1 << 60) - 1)
        yield str(UUID(int=time << 80 | 7 << 76 | (number >> 2) << 64 | 2 << 62 | (number & 3) << 60 | drawn))
