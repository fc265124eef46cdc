"""The catalogue: ready-made kinds of jobs. `from windlass import catalogue; catalogue.install(app, families=["mail"])`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from windlass.catalogue.installing import KindNotReady, Kit, install, kit_of
    from windlass.catalogue.kinds import Kind, Lack, Recur, all_kinds, families
    from windlass.catalogue.readiness import Readiness, readiness_of, survey
    from windlass.catalogue.settings import CatalogueSettings
    from windlass.catalogue.storage import Storage

_HOMES = {
    "installing": ("KindNotReady", "Kit", "install", "kit_of"),
    "kinds": ("Kind", "Lack", "Recur", "all_kinds", "families"),
    "readiness": ("Readiness", "readiness_of", "survey"),
    "settings": ("CatalogueSettings",),
    "storage": ("Storage",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "CatalogueSettings",
    "Kind",
    "KindNotReady",
    "Kit",
    "Lack",
    "Readiness",
    "Recur",
    "Storage",
    "all_kinds",
    "families",
    "install",
    "kit_of",
    "readiness_of",
    "survey",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'windlass.catalogue' has no attribute {name!r}")
    value = getattr(import_module(f"windlass.catalogue.{home}"), name)
    globals()[name] = value
    return value
