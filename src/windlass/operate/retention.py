"""What is kept how long in a store: the app's settings, and what any app's code declares of single queues."""

from msgspec.structs import replace

from windlass.declare.keeping import KEEPS, kept
from windlass.store.protocol import Store
from windlass.values.query import Keep, Retention
from windlass.values.queue import HOUSE

_KEEP_HOUSE = 100

NOTHING = Retention(
    completed=None,
    failed=None,
    cancelled=None,
    logs=None,
    results=None,
    archive=None,
    metrics=None,
    audit=None,
    history=None,
    keep_history=None,
)
"""Keeps everything."""


async def retention_of(store: Store, settings: Retention) -> Retention:
    """The settings' retention with the queues that code has declared otherwise, whoever's code that was."""
    usual = Keep(**{name: getattr(settings, name) for name in Keep.__struct_fields__})
    most = _KEEP_HOUSE if usual.keep_completed is None else min(usual.keep_completed, _KEEP_HOUSE)
    queues = {HOUSE: replace(usual, keep_completed=most)}
    for record in await store.records(KEEPS):
        if record.text:
            queues[record.key] = kept(record.text, usual)
    return replace(settings, queues={**queues, **settings.queues})


async def prune_all(store: Store, retention: Retention, step: int = 500) -> int:
    """Prune until nothing is left to prune, in bounded steps; how many jobs were touched."""
    total = 0
    while pruned := await store.prune(retention, step):
        total += pruned
    return total
