"""The schedules that an app's code declares, and their deployment: the store's schedules made equal to the code's."""

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from windlass.declare.handler import Handler
from windlass.declare.options import JobOptions
from windlass.declare.refusal import refusal
from windlass.declare.signature import Binder, read_hints
from windlass.errors import InvalidOption, ScheduleError
from windlass.schedules.timing import PolicyOptions, make_rule, read_key
from windlass.store.protocol import Store
from windlass.values.clock import Micros
from windlass.values.job import NewJob
from windlass.values.schedule import Rule, ScheduleRow, due_after, read_rule, write_rule

log = logging.getLogger("windlass")

H = TypeVar("H", bound=Handler[..., Any])


class DeclareOptions(PolicyOptions, total=False):
    """Options of `@app.schedule(...)`. `key`: its name, else the kind; `args`, `kwargs`: what each job is called with;
    `options`: options of each job, as for `handler.options(...)`."""

    key: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    options: JobOptions


class Deployed(NamedTuple):
    """Keys that a deployment created or changed, and those it removed."""

    put: list[str]
    dropped: list[str]


class Timetable:
    """What `@app.schedule` declared. `owner` marks the rows in the store, so that a deployment touches no others."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self._declared: dict[str, Callable[[], Rule]] = {}

    def declare(self, cron: str | None, given: DeclareOptions) -> Callable[[H], H]:
        """The decorator; raises `ScheduleError`, `InvalidOption`, and (when it decorates) `InvalidArgs`."""
        options: dict[str, Any] = dict(given)
        if cron is not None:
            options["cron"] = cron
        own = {name: options.pop(name, None) for name in ("key", "args", "kwargs", "options")}
        make_rule(_SAMPLE, options)

        def decorate(handler: H) -> H:
            self._add(handler, own, options)
            return handler

        return decorate

    def has(self, key: str) -> bool:
        """Whether a schedule of this key is declared."""
        return key in self._declared

    async def deploy(self, store: Store) -> Deployed:
        """Write the declared schedules where they differ, and remove those that the code no longer declares."""
        return await reconcile(store, self.owner, {key: make() for key, make in self._declared.items()})

    def _add(self, handler: Handler[..., Any], own: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        if not isinstance(handler, Handler):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption(
                f"{handler!r:.100} is not a job; write @app.schedule(...) above @app.job", field="schedule"
            )
        key = read_key(handler.kind if own["key"] is None else own["key"])
        if key in self._declared:
            raise InvalidOption(f"two schedules have the key {key!r}", field="key", value=key, mend="give one a key=")
        args, kwargs, given = _read_call(own)
        configured = handler.options(**given) if given else handler
        # A binder of its own: the handler's would keep types that are written as text and defined further down.
        check = Binder(handler.kind, handler.binder.parameters, lambda: read_hints(handler.fn) if handler.fn else {})
        check.bind(args, kwargs, handler.door.args_limit)
        self._declared[key] = lambda: make_rule(configured.job(*args, **kwargs), options)


def _read_call(own: Mapping[str, Any]) -> "tuple[tuple[Any, ...], dict[str, Any], JobOptions]":
    """What each job is called with, and its options. Text would fall apart into letters."""
    args = () if own["args"] is None else own["args"]
    if isinstance(args, (str, bytes)) or not isinstance(args, Sequence):
        raise refusal("args", args, "a list or tuple of arguments", "use args=('eu',)")
    kwargs: Any = {} if own["kwargs"] is None else own["kwargs"]
    options: Any = {} if own["options"] is None else own["options"]
    for field, named in (("kwargs", kwargs), ("options", options)):
        if not isinstance(named, Mapping) or not all(
            isinstance(name, str) for name in cast("Mapping[Any, Any]", named)
        ):
            raise refusal(field, cast(object, named), "values by name", f"use {field}={{'name': value}}")
    return tuple(cast("Sequence[Any]", args)), dict(kwargs), cast(JobOptions, options)


async def reconcile(store: Store, owner: str, rules: Mapping[str, Rule]) -> Deployed:
    """Make the rows of `owner` equal to `rules`. Rows made at run time (no owner) stay as they are, pauses stay, and so
    does the due time of a schedule whose timing did not change: a time missed during the deploy is not forgotten."""
    rows = {row.key: row for row in await store.schedules()}
    changed = {key: rule for key, rule in rules.items() if _differs(rows.get(key), rule, owner)}
    gone = [row.key for row in rows.values() if row.owner == owner and row.key not in rules]
    if changed:
        now = await store.now()
        new = [new_row(rows.get(key), key, rule, now, owner=owner) for key, rule in changed.items()]
        await store.put_schedules(new, f"deploy:{owner}")
    if gone:
        await store.drop_schedules(gone, f"deploy:{owner}")
    return Deployed(sorted(changed), gone)


def new_row(
    old: ScheduleRow | None, key: str, rule: Rule, now: Micros, *, owner: str | None, paused: bool | None = None
) -> ScheduleRow:
    """The row that puts `rule` in place of `old`. A paused one has no due time, so a worker that had decided to fire it
    before the pause finds nothing left to fire."""
    stays = old is not None and old.paused
    paused = stays if paused is None else paused
    due = None if paused else due_after(rule, now)
    if old is not None and not paused and not stays and _same_timing(old, rule):
        due = old.due
    return ScheduleRow(key=key, spec=write_rule(rule), owner=owner, due=due, paused=paused)


def calling_module(depth: int) -> str:
    """The importable name of the module that called so many frames up, also when it was run as a program."""
    names = sys._getframe(depth).f_globals  # pyright: ignore[reportPrivateUsage]  # as the standard library does
    name = str(names.get("__name__", "?"))
    if name != "__main__":
        return name
    spec = names.get("__spec__")
    return spec.name if spec is not None else Path(str(names.get("__file__", name))).stem


def _differs(row: ScheduleRow | None, rule: Rule, owner: str) -> bool:
    if row is None:
        return True
    if row.owner is None:
        log.info("schedule %s was put at run time; the one that code declares stays aside", row.key)
        return False
    if row.owner != owner:
        log.warning("schedule %s was declared by %s and is now taken over by %s", row.key, row.owner, owner)
        return True
    return _rule_of(row) != rule


def _same_timing(row: ScheduleRow, rule: Rule) -> bool:
    old = _rule_of(row)
    return old is not None and old.timing == rule.timing


def _rule_of(row: ScheduleRow) -> Rule | None:
    try:
        return read_rule(row.spec)
    except ScheduleError:  # a newer version wrote it
        return None


_SAMPLE: NewJob[Any] = NewJob(id="", kind="sample")
