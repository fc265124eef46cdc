"""Kinds by name: what this app declares, what workers published in the store, and suggestions for the rest."""

import inspect
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from windlass.declare.bounds import LimitRule, fit_limits, published
from windlass.declare.handler import Door, Handler, any_parameters, kind_handler
from windlass.declare.options import HandlerOptions, declare, read_name
from windlass.declare.ranking import PriorityRule, is_plain
from windlass.declare.signature import Binder
from windlass.declare.suggest import similar
from windlass.declare.unique import UniqueRule
from windlass.errors import InvalidOption, UnknownKind
from windlass.flowcontrol.cache import CacheRule
from windlass.flowcontrol.quota import QuotaRule
from windlass.providers.provider import Provider
from windlass.store.protocol import Store
from windlass.values.job import Runtime
from windlass.values.query import Swap

SPACE = "kind"
BUILT_IN = "windlass."
"""Kinds of this prefix come with every worker: nobody is told of them."""

_FRESH = 60.0
_KINDS: Mapping[Any, Literal["plain", "first", "named", "rest", "extra"]] = {
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "plain",
    inspect.Parameter.POSITIONAL_ONLY: "first",
    inspect.Parameter.KEYWORD_ONLY: "named",
    inspect.Parameter.VAR_POSITIONAL: "rest",
    inspect.Parameter.VAR_KEYWORD: "extra",
}
_BACK = {how: kind for kind, how in _KINDS.items()}


class Param(msgspec.Struct, frozen=True, omit_defaults=True):
    """One parameter of a published kind."""

    name: str
    how: Literal["plain", "first", "named", "rest", "extra"] = "plain"
    required: bool = True


class KindInfo(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What producers without the code need to know of a kind. `schema`: JSON Schema of the arguments, if there is one."""

    name: str
    queue: str = "default"
    runtime: Runtime = "async"
    priority: int = 0
    max_attempts: int = 3
    expires_in: int | None = None
    tags: tuple[str, ...] = ()
    version: int = 1
    unique: UniqueRule | None = None
    deadline: int | None = None
    rules: tuple[PriorityRule, ...] = ()
    cache: CacheRule | None = None
    provider: str | None = None
    limits: tuple[LimitRule, ...] = ()
    quota: QuotaRule | None = None
    params: tuple[Param, ...] = ()
    schema: dict[str, Any] | None = None
    encrypt: bool = False
    secrets: tuple[str, ...] = ()


_READ = msgspec.json.Decoder(KindInfo)


class Kinds:
    """Finds the handler of a kind by its name."""

    def __init__(self, door: Door, handlers: Mapping[str, Handler[..., Any]], *, accept: bool) -> None:
        self._door = door
        self._handlers = handlers
        self._accept = accept
        self._declared: dict[str, Handler[..., Any]] = {}
        self._published: dict[str, Handler[..., Any]] = {}
        self._read_at: dict[str, float] = {}
        self.cached: dict[str, CacheRule] = {}
        """The kinds with a cache, as far as this app knows them."""

    def declare(self, name: str, params: Sequence[str] | None, options: HandlerOptions) -> Handler[..., Any]:
        """Declare a kind that other programs run; `params` None accepts any arguments."""
        known = [Param(read_name(p, "params")) for p in params] if params is not None else None
        if known is not None and not all(param.name.isidentifier() for param in known):
            raise InvalidOption("params must be parameter names", field="params", value=params, limit="identifiers")
        parameters = any_parameters() if known is None else _parameters(known)
        runtimes: tuple[Runtime, ...] = ("async", "thread", "process")
        declared = declare(name, runtimes, {**options, "kind": name})
        declared = replace(declared, limits=fit_limits(declared.limits, name, parameters))
        handler = kind_handler(self._door, declared, Binder(name, parameters))
        self._declared[handler.kind] = handler
        self.remember_cache(handler)
        return handler

    def remember_cache(self, handler: Handler[..., Any]) -> None:
        """Enqueues of this handler's kind look at its cache, if it has one."""
        rule = handler.declared.cache
        if rule is not None:
            self.cached[handler.kind] = rule
        else:
            self.cached.pop(handler.kind, None)

    def here(self, name: str) -> Handler[..., Any] | None:
        """The handler this app has or has learnt."""
        return self._handlers.get(name) or self._declared.get(name) or self._published.get(name)

    async def find(self, name: str, store: Store) -> Handler[..., Any]:
        """The handler of a kind, from the store's published kinds if need be; raises `UnknownKind` with suggestions.

        What was published is read again after a minute, since a deploy may change it.
        """
        found = self._handlers.get(name) or self._declared.get(name)
        if found is None and time.monotonic() - self._read_at.get(name, -_FRESH) < _FRESH:
            found = self._published.get(name)
        if found is not None:
            return found
        records = await store.records(SPACE)
        texts = {record.key: record.text for record in records if record.text}
        if name in texts:
            handler = self._published[name] = self._from(_READ.decode(texts[name]))
            self.remember_cache(handler)
            self._read_at[name] = time.monotonic()
            return handler
        if self._accept:
            return self.declare(name, None, {})
        raise self.unknown(name, texts)

    def own(self) -> tuple[str, ...]:
        """The names of the kinds that this app runs, without the built-in ones."""
        return tuple(sorted(name for name in self._handlers if not name.startswith(BUILT_IN)))

    def of_queue(self, queue: str) -> set[str]:
        """The names of the kinds that this app runs, declares or has learnt, whose jobs go to that queue."""
        known = {**self._published, **self._declared, **self._handlers}
        return {name for name, handler in known.items() if handler.queue == queue}

    def unknown(self, name: str, published: Iterable[str] = ()) -> UnknownKind:
        """The error for a kind that nobody names."""
        known = sorted({*self._handlers, *self._declared, *self._published, *published})
        close = similar(name, known)
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        return UnknownKind(
            f"no handler and no worker names the kind {name!r}{hint}",
            kind=name,
            suggestions=close,
            mend="app.declare(name, params=[...]) or Windlass(unknown_kinds='accept') opens it",
        )

    async def publish(self, store: Store) -> int:
        """Write this app's kinds to the store where they differ; how many were written."""
        infos = {info.name: msgspec.json.encode(info).decode() for info in self.described()}
        if not infos:
            return 0
        there = {record.key: record.text for record in await store.records(SPACE, tuple(infos))}
        swaps = [Swap(space=SPACE, key=name, text=text) for name, text in infos.items() if there.get(name) != text]
        if swaps:
            await store.exchange(swaps)
        return len(swaps)

    def described(self) -> list[KindInfo]:
        """This app's own kinds, as they are published."""
        return [describe(self._handlers[name]) for name in self.own()]

    async def published(self, store: Store) -> list[KindInfo]:
        """Every published kind, by name."""
        return [_READ.decode(record.text) for record in await store.records(SPACE) if record.text]

    def _from(self, info: KindInfo) -> Handler[..., Any]:
        declared = declare(info.name, (info.runtime,), {"kind": info.name, "version": info.version})
        job = replace(
            declared.job,
            queue=info.queue,
            priority=info.priority,
            max_attempts=info.max_attempts,
            expires_in=info.expires_in,
            tags=info.tags,
        )
        declared = replace(
            declared,
            job=job,
            unique=info.unique,
            deadline=info.deadline,
            rules=info.rules,
            cache=info.cache,
            provider=None if info.provider is None else Provider(info.provider),
            limits=info.limits,
            quota=info.quota,
            encrypt=info.encrypt,
        )
        return kind_handler(self._door, declared, Binder(info.name, _parameters(info.params), secrets=info.secrets))


def describe(handler: Handler[..., Any]) -> KindInfo:
    """The published face of a handler."""
    declared, job = handler.declared, handler.declared.job
    empty = inspect.Parameter.empty
    params = tuple(
        Param(p.name, _KINDS[p.kind], p.default is empty and _KINDS[p.kind] not in ("rest", "extra"))
        for p in handler.binder.parameters
    )
    return KindInfo(
        name=handler.kind,
        queue=job.queue,
        runtime=job.runtime,
        priority=job.priority,
        max_attempts=job.max_attempts,
        expires_in=job.expires_in,
        tags=job.tags,
        version=declared.version,
        unique=declared.unique,
        deadline=declared.deadline,
        rules=tuple(filter(is_plain, declared.rules)),
        cache=declared.cache,
        provider=None if declared.provider is None else declared.provider.name,
        limits=published(declared.limits),
        quota=declared.quota,
        params=params,
        schema=handler.binder.schema,
        encrypt=declared.encrypt,
        secrets=handler.binder.read_secrets(),
    )


def _parameters(params: Iterable[Param]) -> list[inspect.Parameter]:
    """Parameters of any type; an optional one stays out of the arguments when it is not given."""
    empty = inspect.Parameter.empty
    return [
        inspect.Parameter(param.name, _BACK[param.how], default=empty if param.required or _spread(param) else UNSET)
        for param in params
    ]


def _spread(param: Param) -> bool:
    return param.how in ("rest", "extra")
