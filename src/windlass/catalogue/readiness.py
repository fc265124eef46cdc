"""Whether a kind can run here: its extra, its settings, its programs; and what to do about what is missing."""

import importlib.util
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from windlass.catalogue.kinds import Kind, Lack, all_kinds

if TYPE_CHECKING:
    from windlass.catalogue.settings import CatalogueSettings

SHARED = ("pydantic", "pydantic_settings")


@dataclass(frozen=True, slots=True)
class Readiness:
    """How a kind stands. `word`: `ready`, or `missing extra`, `missing setting`, `missing binary`."""

    kind: str
    family: str
    lacks: tuple[Lack, ...]

    @property
    def ready(self) -> bool:
        return not self.lacks

    @property
    def word(self) -> str:
        return f"missing {self.lacks[0].what}" if self.lacks else "ready"

    @property
    def mend(self) -> str:
        """What to do, in one line."""
        return "; ".join(dict.fromkeys(lack.mend for lack in self.lacks))


def readiness_of(kind: Kind, settings: "CatalogueSettings | None" = None) -> Readiness:
    """How a kind stands in this process. Imports none of its libraries."""
    lacks = tuple(_lacks(kind, settings))
    return Readiness(kind.name, kind.family, lacks)


def survey(settings: "CatalogueSettings | None" = None) -> list[Readiness]:
    """How every kind stands."""
    return [readiness_of(kind, settings) for kind in all_kinds().values()]


def mend_all(states: Iterable[Readiness]) -> str:
    """What to do about all of them in one line: every extra in one command, then the rest."""
    lacks = [lack for state in states for lack in state.lacks]
    extras = ",".join(dict.fromkeys(lack.name for lack in lacks if lack.what == "extra"))
    install = [f"pip install 'windlass[{extras}]'"] if extras else []
    return "; ".join(install + list(dict.fromkeys(lack.mend for lack in lacks if lack.what != "extra")))


def _lacks(kind: Kind, settings: "CatalogueSettings | None") -> Iterable[Lack]:
    absent = [name for name in (*SHARED, *kind.modules) if not has_module(name)]
    if absent:
        extra, are = kind.extra or "catalogue", "is" if len(absent) == 1 else "are"
        yield Lack("extra", extra, f"pip install 'windlass[{extra}]' ({', '.join(absent)} {are} missing)")
    if kind.needs is None or any(name in absent for name in SHARED):
        return
    if settings is None:
        from windlass.catalogue.settings import current

        settings = current()
    yield from kind.needs(settings)


def has_module(name: str) -> bool:
    """Whether a module can be imported; it is not."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # a parent package that is missing, or one that is half loaded
        return False


def find_binary(name: str, configured: str = "") -> str | None:
    """The path of a program: as configured, else on PATH; None if there is none."""
    if configured:
        return shutil.which(configured) or (configured if Path(configured).is_file() else None)
    return shutil.which(name)


def need_binary(name: str, configured: str, variable: str, package: str) -> Iterable[Lack]:
    """A lack, if the program is not there."""
    if find_binary(name, configured) is None:
        yield Lack("binary", name, f"install {package} (e.g. apt-get install {package}), or set {variable}")


def need_setting(value: object, variable: str, meaning: str) -> Iterable[Lack]:
    """A lack, if the setting is empty."""
    plain = value.get_secret_value() if hasattr(value, "get_secret_value") else value  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType, reportAttributeAccessIssue]
    if not plain:
        yield Lack("setting", variable, f"set {variable} ({meaning})")


__all__ = [
    "Readiness",
    "find_binary",
    "has_module",
    "mend_all",
    "need_binary",
    "need_setting",
    "readiness_of",
    "survey",
]
