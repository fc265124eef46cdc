"""What operations know of a job, as ledger.lua keeps it: cost, automatic retries, the fingerprint of its error."""

import struct
from typing import NamedTuple

from windlass.values.clock import Micros

_HEAD = struct.Struct(">7sH7s")


class Ledger(NamedTuple):
    """`retry`: 0 when no retry by itself will come."""

    cost: int = 0
    revivals: int = 0
    retry: Micros = 0
    fingerprint: str = ""


def read_ledger(data: bytes) -> Ledger:
    if not data:
        return Ledger()
    cost, revivals, retry = _HEAD.unpack_from(data)
    return Ledger(
        int.from_bytes(cost, "big"),
        revivals,
        int.from_bytes(retry, "big"),
        data[_HEAD.size :].decode("utf-8", "replace"),
    )
