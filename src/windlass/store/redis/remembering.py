"""What remains of jobs that retention deleted."""

from windlass.store.redis.codec import id_bytes, record_of
from windlass.store.redis.connection import Link
from windlass.store.redis.ledger import read_ledger
from windlass.values.job import REMAINS
from windlass.values.query import Past, read_past


async def past(link: Link, id: str) -> Past | None:
    data = id_bytes(id)
    packed: bytes | None = await link.run("past", data) if data is not None else None
    if data is None or packed is None:
        return None
    c, m, error, trail, progress, ledger = _parts(packed)
    record = record_of(data, c, m, (b"", error, trail, progress), read_ledger(ledger))
    return read_past({name: record[name] for name in REMAINS}, int.from_bytes(packed[:7], "big"))


def _parts(packed: bytes) -> list[bytes]:
    """The six parts behind the instant, each with its length before it."""
    parts: list[bytes] = []
    at = 7
    for _ in range(6):
        end = at + 3 + int.from_bytes(packed[at : at + 3], "big")
        parts.append(packed[at + 3 : end])
        at = end
    return parts
