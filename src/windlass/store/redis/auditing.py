"""The audit: what operators did, and acts that are only noted."""

from collections.abc import Callable, Sequence

from windlass.errors import InvalidOption
from windlass.store.redis.codec import pack, unpack
from windlass.store.redis.connection import Link
from windlass.values.query import AuditEntry, AuditQuery

_STEP = 1_000


async def audit(link: Link, query: AuditQuery) -> list[AuditEntry]:
    """Entries come in the order of their writing, so the first one that is too old ends the search."""
    found: list[AuditEntry] = []
    fits = _matcher(query)
    behind = _number(query.before)
    picky = any((query.target, query.actor, query.action, query.until))
    step = _STEP if picky else max(1, min(query.limit, _STEP))
    while len(found) < query.limit:
        number, page = await link.run("audit", behind, step)
        for at, packed in enumerate(page):
            entry = AuditEntry(*unpack(packed), id=str(number - at))
            if query.since is not None and entry.at < query.since:
                return found
            if fits(entry):
                found.append(entry)
                if len(found) == query.limit:
                    return found
        if len(page) < step:
            break
        behind = number - len(page) + 1
    return found


def _number(before: str | None) -> int | str:
    if before is None:
        return ""
    try:
        return int(before)
    except ValueError:
        raise InvalidOption(
            f"before is {before[:100]!r}; it must be the id of an entry",
            field="before",
            value=before[:100],
            limit="the `id` of an entry",
            mend="start again without it",
        ) from None


def _matcher(query: AuditQuery) -> Callable[[AuditEntry], bool]:
    target, action = _pattern(query.target), _pattern(query.action)

    def fits(entry: AuditEntry) -> bool:
        return (
            (query.actor is None or entry.actor == query.actor)
            and (query.until is None or entry.at < query.until)
            and target(entry.target)
            and action(entry.action)
        )

    return fits


def _pattern(wanted: str | None) -> Callable[[str], bool]:
    if wanted is None:
        return lambda _: True
    if wanted.endswith("*"):
        start = wanted[:-1]
        return lambda text: text.startswith(start)
    return lambda text: text == wanted


async def note_acts(link: Link, acts: Sequence[AuditEntry]) -> None:
    if acts:
        await link.run("note_acts", pack([(act.actor, act.action, act.target, act.detail) for act in acts]))
