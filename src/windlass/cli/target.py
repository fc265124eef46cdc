"""Which store a command means: `-A module:app`, `--url`, or what the environment says; and running on it."""

import asyncio
import shlex
import sys
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from windlass.cli.complaint import StoreNotFound
from windlass.cli.options import Chosen
from windlass.errors import SettingsError
from windlass.store import open_store
from windlass.store.protocol import Store

if TYPE_CHECKING:
    from windlass.app import Windlass

T = TypeVar("T")


class Target(NamedTuple):
    """The address as given; `app` may supply what `url` and `namespace` leave out."""

    url: str | None
    app: str | None
    namespace: str | None

    @property
    def flags(self) -> str:
        """The options that lead another command to the same store, with a blank in front; empty if nothing was typed."""
        given = (("-A", self.app), ("--url", self.url), ("--namespace", self.namespace))
        return "".join(f" {name} {shlex.quote(value)}" for name, value in given if value is not None)

    def load(self) -> "Windlass":
        """The app: the one `-A` names, with `--url` and `--namespace` over its own; else one made for the address."""
        from windlass.app import Windlass
        from windlass.stores import Stores

        if self.app is None:
            return Windlass(self.url, namespace=self.namespace)
        app = load_app(self.app)
        if self.url is not None or self.namespace is not None:
            observers = app.stores.observers
            app.stores = Stores(self.url or app.url, self.namespace or app.namespace)
            app.stores.observers = observers
        return app

    def store(self) -> Store:
        """An unopened store at the address."""
        app = self.load()
        return open_store(app.url, app.namespace)


@asynccontextmanager
async def opened(target: Target, *, create: bool = False) -> AsyncGenerator[Store, None]:
    """The open store of a target. It must be there, unless `create`: opening one by a mistyped address would make it."""
    app = target.load()
    store = open_store(app.url, app.namespace)
    Chosen.store = store.url
    if not create:
        await check_present(store, app.namespace)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def with_store(target: Target, act: Callable[[Store], Awaitable[T]], *, create: bool = False) -> T:
    """Open the store, act on it, close it; the answer of `act`."""

    async def main() -> T:
        async with opened(target, create=create) as store:
            return await act(store)

    return asyncio.run(main())


def on_app(target: Target, act: Callable[["Windlass"], Awaitable[T]], *, create: bool = False) -> T:
    """The same with the target's app, whose code may say what a store does not."""

    async def main() -> T:
        app = target.load()
        sibling = app.open_sibling()
        Chosen.store = sibling.url
        if not create:
            await check_present(sibling, app.namespace)
        try:
            await app.store()
            return await act(app)
        finally:
            await app.close()

    return asyncio.run(main())


async def check_present(store: Store, namespace: str, mend: str = "") -> None:
    """Refuse a store that nobody has made yet; `store` is not open, and is not afterwards."""
    try:
        there = (await store.schema())[0]
    finally:
        await store.close()
    if not there:
        raise StoreNotFound(
            f"there is no store at {store.url}"
            + ("" if namespace == "windlass" else f" in the namespace {namespace!r}"),
            url=store.url,
            namespace=namespace,
            mend=mend or "name yours by --url or -A module:app; a worker or the first enqueue makes it",
        )


def load_app(ref: str) -> "Windlass":
    """The app that `module:name` names; `module` alone finds its `app`, or its only Windlass."""
    from windlass.app import Windlass

    path, _, name = ref.partition(":")
    try:
        module = import_module(path)
    except Exception as error:
        raise SettingsError(
            _import_text(path, error), field="app", value=ref, mend=_import_mend(path, error)
        ) from error
    found = {key: value for key, value in vars(module).items() if isinstance(value, Windlass)}
    if name:
        if name in found:
            return found[name]
        has = f"it has {', '.join(sorted(found))}" if found else "it has no Windlass app at all"
        raise SettingsError(f"module {path!r} has no Windlass app {name!r}; {has}", field="app", value=ref)
    if "app" in found or len(found) == 1:
        return found.get("app") or next(iter(found.values()))
    raise SettingsError(
        f"module {path!r} has {len(found)} Windlass apps", field="app", value=ref, mend=f"say which: -A {path}:name"
    )


def _import_text(path: str, error: Exception) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    last = frames[-1] if frames else None
    own = last is None or last.filename == __file__
    where = "" if own or last is None else f" ({last.filename}, line {last.lineno})"
    return f"cannot import {path!r}: {type(error).__name__}: {error}{where}"


def _import_mend(path: str, error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name == path.partition(".")[0]:
        return f"run it where {path.replace('.', '/')}.py is ({sys.path[0]} was searched), or set PYTHONPATH"
    if isinstance(error, RuntimeError) and "running event loop" in str(error):
        return "importing it starts the program: put that under `if __name__ == '__main__':`"
    return "mend the module; WINDLASS_DEBUG=1 shows the traceback"


def run_fast(main: Coroutine[Any, Any, T]) -> T:
    """Run on uvloop where it is installed: for commands that live long enough to earn its import."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)
