"""What is remembered of an error group: what its errors look like, since when it is known, and where it was met."""

import re
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from windlass.secrecy.marks import TEXT_MARK
from windlass.store.protocol import Store
from windlass.values.clock import SECOND, Micros
from windlass.values.job import ErrorInfo, Trail
from windlass.values.outcome import Finish
from windlass.values.query import Record, Swap

FACTS = "error-facts"
"""The space of records; the key is the fingerprint."""
KEPT: Micros = 400 * 86_400 * SECOND

_MOST_NAMES = 10
_LONGEST_MESSAGE = 500
_LONGEST_TRACE = 4_000
_TRAIL = msgspec.json.Decoder(Trail)


class Facts(msgspec.Struct, frozen=True, omit_defaults=True):
    """`message`: what varies from one error to the next is `#`. `version`: that of the app which met it first."""

    type: str
    message: str
    category: str
    trace: str
    first_seen: Micros
    version: str | None = None
    kinds: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()

    def met(self, kind: str, queue: str) -> "Facts":
        """The same, also met there; of many places only the first are kept."""
        return replace(self, kinds=_with(self.kinds, kind), queues=_with(self.queues, queue))


_READ = msgspec.json.Decoder(Facts)


def facts_of(error: ErrorInfo, at: Micros, version: str | None) -> Facts:
    """The facts of a group by its first error."""
    hidden = error.traceback.startswith(TEXT_MARK)
    return Facts(
        type=error.type,
        message=normalised(error.message),
        category=str(error.category),
        trace="" if hidden else error.traceback[-_LONGEST_TRACE:],
        first_seen=at,
        version=version,
    )


def error_of(finish: Finish) -> ErrorInfo | None:
    """The error that an end tells of."""
    return _TRAIL.decode(finish.trail).error if finish.trail else None


async def read_facts(store: Store, fingerprints: Sequence[str]) -> dict[str, Facts]:
    """The facts of groups, of those that are known."""
    return {key: facts for key, (facts, _) in (await _read(store, fingerprints)).items()}


async def remember(store: Store, met: Sequence[tuple[Finish, ErrorInfo]], version: str | None) -> None:
    """Write down groups that were met; what other workers write at the same time stays."""
    now = await store.now()
    left = list(met)
    for _ in range(_TRIES):
        known = await _read(store, [finish.fingerprint for finish, _ in left])
        wanted: dict[str, tuple[Facts, int]] = {}
        for finish, error in left:
            facts, at = wanted.get(finish.fingerprint) or known.get(finish.fingerprint) or (None, 0)
            made = facts or facts_of(error, now, version)
            wanted[finish.fingerprint] = (made.met(finish.kind, finish.queue), at)
        swaps = [_swap(key, *each) for key, each in wanted.items() if known.get(key, (None,))[0] != each[0]]
        refused = {record.key for record in await store.exchange(swaps) if not record.swapped} if swaps else set[str]()
        left = [each for each in left if each[0].fingerprint in refused]
        if not left:
            return


_TRIES = 5


def _swap(key: str, facts: Facts, version: int) -> Swap:
    return Swap(space=FACTS, key=key, text=msgspec.json.encode(facts).decode(), expect=version, ttl=KEPT)


async def _read(store: Store, fingerprints: Sequence[str]) -> dict[str, tuple[Facts, int]]:
    if not fingerprints:
        return {}
    records: list[Record] = await store.records(FACTS, sorted(set(fingerprints)))
    return {record.key: (_READ.decode(record.text), record.version) for record in records if record.text}


_VARIES = re.compile(
    r"""0x[0-9a-fA-F]+ | [0-9a-fA-F]{8}-[0-9a-fA-F-]{27} | \b[0-9a-fA-F]*\d[0-9a-fA-F]{7,}\b | \d+""", re.VERBOSE
)


def normalised(message: str) -> str:
    """A message with `#` for numbers, ids and addresses, which are another in every error of a group."""
    return _VARIES.sub("#", message)[:_LONGEST_MESSAGE]


def _with(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return names if name in names or len(names) >= _MOST_NAMES else (*names, name)
