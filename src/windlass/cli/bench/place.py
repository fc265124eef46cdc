"""Where the benchmark works: a store of its own, removed afterwards."""

import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from windlass.store.protocol import Store


class Place(NamedTuple):
    """An address and a namespace that nobody else uses; `folder` if it is a file of our own."""

    url: str
    namespace: str
    folder: Path | None


def choose(url: str | None, folder: Path) -> Place:
    """A fresh place. File stores get a fresh file in `folder` under the same options; others a fresh namespace."""
    name = f"bench{uuid4().hex[:8]}"
    scheme, _, rest = (url or "sqlite:///").partition("://")
    if scheme != "sqlite":
        return Place(url or "", name, None)
    options = rest.partition("?")[2]
    return Place(f"sqlite:///{folder / name}.db" + (f"?{options}" if options else ""), "windlass", folder)


def home(url: str | None) -> Path | None:
    """The folder of the file that `url` names, so that the same disk is measured; None for the system's temporary one."""
    scheme, _, rest = (url or "").partition("://")
    path = rest.partition("?")[0].removeprefix("/")
    return Path(path).absolute().parent if scheme == "sqlite" and path and ":memory:" not in path else None


@asynccontextmanager
async def workplace(url: str | None) -> AsyncGenerator[Path, None]:
    """A temporary folder on the disk to be measured."""
    with tempfile.TemporaryDirectory(prefix="windlass-bench-", dir=home(url), ignore_cleanup_errors=True) as folder:
        yield Path(folder)


async def sweep(store: Store, place: Place) -> None:
    """Remove everything from a namespace; a file of our own goes with its folder."""
    if place.folder is None:
        await store.erase(force=True)
