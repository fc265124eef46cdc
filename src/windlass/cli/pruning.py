"""Pruning on request: the app's retention and that of single queues, with what was said over it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from windlass.cli.target import Target, on_app
from windlass.operate.retention import prune_all, retention_of
from windlass.values.clock import micros
from windlass.values.query import Keep, Retention

if TYPE_CHECKING:
    from windlass.app import Windlass

_STEP = 1_000


def prune_now(target: Target, ages: Mapping[str, str | None], counts: Mapping[str, int | None]) -> int:
    """Delete what is not kept; how many jobs were touched. Metrics are left to the workers, who add them up before."""
    said: dict[str, Any] = {name: _age(text, name) for name, text in ages.items() if text is not None}
    said |= {name: count for name, count in counts.items() if count is not None}

    async def work(app: "Windlass") -> int:
        store = await app.store()
        found = await retention_of(store, app.settings.retention)
        return await prune_all(store, replace(_over(found, said), metrics=None), _STEP)

    return on_app(target, work)


def _over(retention: Retention, said: Mapping[str, Any]) -> Retention:
    """What was said goes for every queue."""
    own = {name: value for name, value in said.items() if name in Keep.__struct_fields__}
    queues = {name: replace(keep, **own) for name, keep in retention.queues.items()}
    return replace(retention, queues=queues, **said)


def _age(text: str, field: str) -> int | None:
    return None if text == "ever" else micros(text, field)
