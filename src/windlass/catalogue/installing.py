"""Putting kinds of the catalogue into an app, with the presets' numbers."""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, get_type_hints
from weakref import WeakKeyDictionary

from windlass import Context, Handler, InvalidOption, SettingsError, Snooze, Windlass
from windlass.catalogue.kinds import Kind, Recur, all_kinds, families, load
from windlass.catalogue.readiness import SHARED, Readiness, has_module, mend_all, readiness_of
from windlass.presets import ALL, Work

if TYPE_CHECKING:
    from windlass.catalogue.fetch import Fetch
    from windlass.catalogue.settings import CatalogueSettings
    from windlass.catalogue.storage import Storage

PartT = TypeVar("PartT")


class KindNotReady(InvalidOption):
    """`kind`, `mend`: what is missing, and what to do about it."""

    code = "kind-not-ready"


class Kit:
    """What handlers of the catalogue share in one app: `kit_of(ctx)`."""

    def __init__(self, app: Windlass, settings: "CatalogueSettings", storage: "Storage | None" = None) -> None:
        self.app = app
        self.settings = settings
        self._storage = storage
        self._fetch: Fetch | None = None
        self._parts: dict[type[Any], Any] = {}

    @property
    def storage(self) -> "Storage":
        """Where files are; raises `SettingsError` if none is set up."""
        if self._storage is None:
            from windlass.catalogue.storage import Storage

            self._storage = Storage.open(self.settings.storage)
        return self._storage

    @property
    def fetch(self) -> "Fetch":
        """What reads URLs of inputs."""
        if self._fetch is None:
            from windlass.catalogue.fetch import Fetch

            self._fetch = Fetch(self.settings.fetch)
        return self._fetch

    def part(self, make: "type[PartT]") -> "PartT":
        """What handlers of a family share, made of this kit at first use; its `aclose` is called when the worker ends."""
        found = self._parts.get(make)
        if found is None:
            found = self._parts[make] = make(self)  # pyright: ignore[reportCallIssue]
        return cast("PartT", found)

    async def aclose(self) -> None:
        """The worker ends: connections are closed."""
        parts, self._parts = self._parts, {}
        for part in parts.values():
            close = getattr(part, "aclose", None)
            if close is not None:
                await close()


RESOURCE = "catalogue"
_KITS: "WeakKeyDictionary[Windlass, Kit]" = WeakKeyDictionary()
"""What each app's handlers share, for who only looks and opens no resource."""


def kit_of(ctx: Context) -> Kit:
    """The settings and the storage of the app whose job this is."""
    return ctx.resource(RESOURCE)


def install(
    app: Windlass,
    *,
    kinds: Iterable[str] | None = None,
    families: Iterable[str] | None = None,
    settings: "CatalogueSettings | None" = None,
    storage: "Storage | None" = None,
    unready: Literal["refuse", "park", "raise"] = "refuse",
    schedules: bool = False,
) -> Mapping[str, Handler[..., Any]]:
    """Give an app kinds of the catalogue (all, some by name, or whole families), with the presets' queues, limits and retries as
    far as the app does not say otherwise; the handlers by kind.

    `unready`: what becomes of jobs of a kind that lacks something here: they are refused when they are enqueued, `park`ed until
    a worker comes that can run them, or installing it `raise`s `KindNotReady`. `schedules`: also the recurring jobs that come
    with the kinds.
    """
    chosen = _chosen(kinds, families)
    _require(chosen)
    from windlass.catalogue.settings import current

    if RESOURCE not in app.resources or settings is not None or storage is not None:
        _share(app, Kit(app, settings or current(), storage))
    settings = settings or current()
    found: dict[str, Handler[..., Any]] = {}
    states = {kind.name: readiness_of(kind, settings) for kind in chosen}
    lacking = [state for state in states.values() if not state.ready]
    if lacking and unready == "raise":
        raise _not_ready(*lacking)
    for kind in chosen:
        found[kind.name] = _install(app, kind, states[kind.name], unready)
        if schedules:
            for each in kind.schedules:
                _schedule(app, each, found[kind.name])
    return found


def _require(chosen: Iterable[Kind]) -> None:
    """Refuse where what all kinds need is not installed, naming the extras that these kinds want."""
    absent = [name for name in SHARED if not has_module(name)]
    if absent:
        extras = ",".join(dict.fromkeys(kind.extra or "catalogue" for kind in chosen))
        mend = f"pip install 'windlass[{extras}]'"
        raise SettingsError(
            f"the catalogue needs {' and '.join(absent)}, not installed here: {mend}", field="catalogue", mend=mend
        )


def _chosen(kinds: Iterable[str] | None, wanted: Iterable[str] | None) -> list[Kind]:
    known = all_kinds()
    if kinds is None and wanted is None:
        return list(known.values())
    names = list(kinds or ())
    for family in wanted or ():
        if family not in families():
            raise InvalidOption(
                f"there is no family {family!r}", field="families", value=family, limit=list(families())
            )
        names += [kind.name for kind in known.values() if kind.family == family]
    for name in names:
        if name not in known:
            raise InvalidOption(f"the catalogue has no kind {name!r}", field="kinds", value=name, limit=list(known))
    return [known[name] for name in dict.fromkeys(names)]


def _share(app: Windlass, kit: Kit) -> None:
    async def catalogue() -> AsyncGenerator[Kit]:
        try:
            yield kit
        finally:
            await kit.aclose()

    app.resource(catalogue)
    _KITS[app] = kit


def settings_of(app: Windlass) -> "CatalogueSettings | None":
    """The settings that an app's kinds of the catalogue go by; None if it has none."""
    kit = _KITS.get(app)
    return None if kit is None else kit.settings


def _install(app: Windlass, kind: Kind, state: Readiness, unready: str) -> Handler[..., Any]:
    there = app.handlers.get(kind.name)
    if there is not None:
        return there
    work = next((work for work in ALL if work.kind == kind.name), None)
    queue = kind.queue or (work.queue if work else kind.name)
    if work is not None:
        _queue(app, work)
    options: dict[str, Any] = {**(work.options() if work else {}), "kind": kind.name, "queue": queue, **kind.options}
    if not state.ready and unready == "park":
        options.pop("kind")
        return app.declare(kind.name, None, **options)
    entry = _refusing(state) if not state.ready else _entry(load(kind.handler), load(kind.input))
    return cast("Handler[..., Any]", app.job(**options)(entry))


def _entry(fn: Callable[..., Any], model: Any) -> Callable[..., Any]:
    """The function that workers call: its keyword arguments together are the model."""

    async def entry(ctx: Context, **fields: Any) -> Any:
        return await fn(ctx, model.model_validate(fields))

    _name(entry, fn)
    entry.__annotations__["return"] = get_type_hints(fn).get("return", Any)
    entry.__dict__["__windlass_model__"] = (model, None)
    return entry


def _refusing(state: Readiness) -> Callable[..., Any]:
    """The handler of a kind that is not ready: jobs are refused when they are made; those that come from elsewhere are put off
    until it is."""

    async def entry(ctx: Context, **fields: Any) -> Any:
        raise Snooze("1m", f"{state.word}: {state.mend}")

    def refuse() -> Exception:
        return _not_ready(state)

    entry.__name__ = entry.__qualname__ = state.kind.replace("-", "_")
    entry.__dict__["__windlass_model__"] = (None, refuse)
    return entry


def _not_ready(*states: Readiness) -> KindNotReady:
    """All that is missing at once: asked for one by one, a deploy fails once for each."""
    first, mend = states[0], states[0].mend if len(states) == 1 else mend_all(states)
    kinds = ", ".join(state.kind for state in states)
    words = ", ".join(dict.fromkeys(state.word for state in states))
    return KindNotReady(f"{kinds} cannot run here, {words}: {mend}", field="kind", kind=first.kind, mend=mend)


def _name(entry: Any, fn: Any) -> None:
    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(entry, name, getattr(fn, name))


def _queue(app: Windlass, work: Work) -> None:
    given = {"concurrency": work.concurrency, "rate_limit": work.rate, "order": work.order}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if options and app.capacity.queues.get(work.queue) is None:
        app.queue(work.queue, **options)


def _schedule(app: Windlass, recur: Recur, handler: Handler[..., Any]) -> None:
    if not app.timetable.has(recur.key):
        app.timetable.declare(recur.cron, {"key": recur.key, "kwargs": dict(recur.kwargs)})(handler)


__all__ = ["KindNotReady", "Kit", "install", "kit_of", "settings_of"]
