"""The suppression list: addresses to which no mail is sent any more, shared by all workers."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from windlass import Windlass
from windlass.keyed import Keyed

Why: TypeAlias = Literal["bounce", "complaint", "unsubscribed", "manual"]


@dataclass(frozen=True, slots=True)
class Suppressed:
    """An address that gets no mail, why, and since when."""

    address: str
    why: str
    since: datetime
    note: str = ""


class Suppressions:
    """`Suppressions(app)`: look at the list, add to it, take off it. Addresses are compared in lower case."""

    def __init__(self, app: Windlass) -> None:
        self._kept = Keyed(app, "mail.suppressed")

    async def add(self, address: str, why: Why = "manual", note: str = "") -> None:
        """From now on this address gets no mail."""
        since = datetime.now(UTC).isoformat(timespec="seconds")
        await self._kept.put(address.lower(), {"why": why, "since": since, "note": note[:300]}, expect=0)

    async def remove(self, *addresses: str) -> None:
        """These get mail again."""
        await self._kept.delete(*(address.lower() for address in addresses))

    async def among(self, *addresses: str) -> set[str]:
        """Those of the addresses that are on the list."""
        found = await self._kept.get_many({address.lower() for address in addresses})
        return {address for address in addresses if address.lower() in found}

    async def list(self) -> "list[Suppressed]":
        """All of them."""
        return [
            Suppressed(kept.key, kept.value["why"], datetime.fromisoformat(kept.value["since"]), kept.value["note"])
            for kept in await self._kept.list()
        ]


__all__ = ["Suppressed", "Suppressions", "Why"]
