"""What the catalogue says of each kind without importing its code: input, needs, numbers, and what an unknown outcome means."""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import windlass.catalogue as home

if TYPE_CHECKING:
    from windlass.catalogue.settings import CatalogueSettings


@dataclass(frozen=True, slots=True)
class Lack:
    """What keeps a kind from being ready. `what`: `extra`, `setting` or `binary`."""

    what: str
    name: str
    mend: str


@dataclass(frozen=True, slots=True)
class Recur:
    """A schedule that comes with a kind, in UTC."""

    key: str
    cron: str
    kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A ready-made kind. `handler`, `input`: `module:name`, imported when the kind is installed; the handler is an async function
    of the context and one input model. `modules`: what the extra brings, by import name. `needs`: what else it lacks, by the
    settings. `effect`: what becomes of an unknown outcome, in a word. `options`: of `@app.job`, over the preset's."""

    name: str
    family: str
    purpose: str
    handler: str
    input: str
    output: str = ""
    queue: str = ""
    extra: str = ""
    modules: tuple[str, ...] = ()
    needs: "Callable[[CatalogueSettings], Iterable[Lack]] | None" = None
    effect: str = "none"
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    schedules: tuple[Recur, ...] = ()


@lru_cache(maxsize=1)
def all_kinds() -> Mapping[str, Kind]:
    """Every kind by name: the `KINDS` of each module here that is called `<family>_kinds`."""
    found: dict[str, Kind] = {}
    for module in pkgutil.iter_modules(home.__path__):
        if module.name.endswith("_kinds"):
            for kind in importlib.import_module(f"{home.__name__}.{module.name}").KINDS:
                found[kind.name] = kind
    return dict(sorted(found.items()))


def families() -> tuple[str, ...]:
    """The families of kinds."""
    return tuple(sorted({kind.family for kind in all_kinds().values()}))


def load(place: str) -> Any:
    """What `module:name` names."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


__all__ = ["Kind", "Lack", "Recur", "all_kinds", "families", "load"]
