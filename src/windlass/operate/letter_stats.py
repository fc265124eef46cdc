"""Statistics of dead letters: how many, whether trying again may help, by queue and by error group."""

from collections import Counter
from datetime import datetime

import msgspec

from windlass.operate.facts import read_facts
from windlass.operate.letters import may_help
from windlass.store.protocol import Store
from windlass.values.clock import Micros, moment
from windlass.values.job import ErrorInfo, Job
from windlass.values.query import ErrorGroup, Where
from windlass.values.states import State

EXACT = 2_000
"""Up to so many letters are looked at one by one; of more, groups and the newest ones stand for the rest."""

_COUNTED = 10_000
_MOST_GROUPS = 100
_PAGE = 500
_FOREVER: Micros = 1 << 55


class GroupCount(msgspec.Struct, frozen=True, kw_only=True):
    """The dead letters of an error group. `fingerprint` empty: without an error, ended by command or by an edge."""

    fingerprint: str
    type: str
    n: int
    can_retry: bool


class LetterStats(msgspec.Struct, frozen=True, kw_only=True):
    """`total` and `queues` are exact. `retryable` and `permanent` are exact where `exact` says so; of more than 2,000 letters
    they go by the error groups, or by the newest 2,000 of the queue. `scheduled`: how many are to be tried again by
    themselves, and `archived`: how many are too old for it, both counted up to 10,000. `groups`: the largest hundred."""

    queue: str | None
    total: int
    retryable: int
    permanent: int
    exact: bool
    scheduled: int
    archived: int
    oldest: datetime | None
    newest: datetime | None
    queues: dict[str, int]
    groups: tuple[GroupCount, ...]


async def read_stats(store: Store, queue: str | None, archived_before: Micros | None) -> LetterStats:
    """The statistics of all dead letters, or of a queue's."""
    own = () if queue is None else (queue,)
    failed = {each.queue: each.n for each in await store.counts() if each.state is State.FAILED and each.n}
    queues = {name: n for name, n in sorted(failed.items()) if not own or name in own}
    total = sum(queues.values())
    groups = await _groups(store, await store.error_groups(1_000), own)
    where = Where(states=(State.FAILED,), queues=own)
    newest = await _newest(store, where)
    if total <= EXACT:
        total = len(newest)  # some may have come or gone since they were counted
        retryable, exact = sum(may_help(job.error) for job in newest), True
    elif own:
        retryable, exact = round(total * sum(may_help(job.error) for job in newest) / max(len(newest), 1)), False
    else:
        permanent = sum(group.n for group in groups if not group.can_retry)
        retryable, exact = max(total - permanent, 0), False
    scheduled, archived = await store.count(
        [
            Where(retry_before=_FOREVER, queues=own),
            Where(states=(State.FAILED,), queues=own, finished_to=archived_before or 0),
        ],
        _COUNTED,
    )
    ends = [job.finished_at for job in newest if job.finished_at is not None]
    first, last = await _ends(store, own, total, ends)
    return LetterStats(
        queue=queue,
        total=total,
        retryable=retryable,
        permanent=total - retryable,
        exact=exact,
        scheduled=scheduled,
        archived=archived,
        oldest=first,
        newest=last,
        queues=queues,
        groups=tuple(groups[:_MOST_GROUPS]),
    )


async def _newest(store: Store, where: Where) -> list[Job]:
    found: list[Job] = []
    cursor: str | None = None
    while len(found) < EXACT:
        page = await store.jobs(where, cursor, _PAGE)
        found += page.items
        cursor = page.next
        if cursor is None:
            break
    return found


async def _ends(
    store: Store, own: tuple[str, ...], total: int, seen: list[datetime]
) -> tuple[datetime | None, datetime | None]:
    """When the first and the last of them failed."""
    if total <= EXACT or own:
        return min(seen, default=None), max(seen, default=None)
    groups = await store.error_groups(1_000)
    return (
        moment(min(group.first for group in groups)) if groups else None,
        moment(max(group.last for group in groups)) if groups else None,
    )


async def _groups(store: Store, groups: list[ErrorGroup], own: tuple[str, ...]) -> list[GroupCount]:
    """The groups with what is known of them; of a queue, counted in it."""
    sizes = Counter({group.fingerprint: group.n for group in groups})
    if own:
        some = groups[:_MOST_GROUPS]
        wheres = [Where(queues=own, fingerprints=(group.fingerprint,)) for group in some]
        counted = await store.count(wheres, _COUNTED) if wheres else []
        sizes = Counter({group.fingerprint: n for group, n in zip(some, counted, strict=True) if n})
    facts = await read_facts(store, [group.fingerprint for group in groups])
    made: list[GroupCount] = []
    samples = {group.fingerprint: group.sample for group in groups}
    for fingerprint, n in sizes.most_common():
        known = facts.get(fingerprint)
        if known is not None:
            error = ErrorInfo(type=known.type, message="", category=known.category)
        else:  # failed before anybody remembered groups, or moved here from elsewhere
            sample = await store.job(samples[fingerprint])
            error = None if sample is None else sample.error
        made.append(
            GroupCount(
                fingerprint=fingerprint, type="" if error is None else error.type, n=n, can_retry=may_help(error)
            )
        )
    return made
