"""Applying a preset to an app: its queues, kinds, schedules and retention, as far as the app does not say otherwise."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from windlass.app import Windlass
from windlass.declare.handler import Handler
from windlass.declare.keeping import Keep
from windlass.errors import InvalidOption
from windlass.presets.work import Keep as PresetKeep
from windlass.presets.work import Preset, Recurring, Work
from windlass.settings import Settings

_PLACE = "windlass.presets"
_DEFAULTS = Settings()


def apply(app: Windlass, preset: Preset, handlers: Mapping[str, Callable[..., Any]] | None = None) -> Windlass:
    """Give an app a preset's queues with their limits, its kinds with retries, priorities and rates, its schedules and its
    retention. `handlers`: functions by kind, which become the handlers; the other kinds are declared, so that this app can
    enqueue what other programs run. Queues, kinds and settings that the app has said something about stay as they are: declare
    yours first. Applying again changes nothing. Raises `InvalidOption` for a handler of no kind of the preset."""
    given = dict(handlers or {})
    unknown = sorted(set(given) - {work.kind for work in preset.works})
    if unknown:
        kinds = [work.kind for work in preset.works]
        raise InvalidOption(
            f"the preset {preset.name} has no kind {unknown[0]!r}", field="handlers", value=unknown[0], limit=kinds
        )
    for work in preset.works:
        _queue(app, work, preset.keep)
        _kind(app, preset, work, given.get(work.kind))
    for schedule in preset.schedules:
        if schedule.kind is not None:
            _schedule(app, preset, schedule, schedule.kind)
    _settle(app, preset)
    return app


def _queue(app: Windlass, work: Work, kept: PresetKeep) -> None:
    options: dict[str, Any] = {}
    for name, value in (("concurrency", work.concurrency), ("rate_limit", work.rate), ("order", work.order)):
        if value is not None:
            options[name] = value
    if work.dead_retries:
        options["dead_retries"] = work.dead_retries
    keep = _keep(app, kept)
    if keep != Keep():
        options["keep"] = keep
    declared = app.capacity.queues.get(work.queue)
    if options and (declared is None or declared.place == _PLACE):
        app.capacity.queue(work.queue, options, _PLACE)


def _kind(app: Windlass, preset: Preset, work: Work, fn: Callable[..., Any] | None) -> None:
    if work.kind in app.handlers:
        return
    options = work.options()
    if preset.max_rescues is not None:
        options["max_rescues"] = preset.max_rescues
    if fn is not None:
        app.job(**options)(fn)
    elif app.kinds.here(work.kind) is None:
        options.pop("kind", None)
        app.declare(work.kind, None, **options)


def _schedule(app: Windlass, preset: Preset, schedule: Recurring, kind: str) -> None:
    handler = _keeper(app, preset, kind) if kind in _KEEPERS else app.kinds.here(kind)
    assert handler is not None
    if not app.timetable.has(schedule.key):
        app.timetable.declare(schedule.cron, {"key": schedule.key, "kwargs": schedule.kwargs})(handler)


def _keep(app: Windlass, kept: PresetKeep) -> Keep:
    """The retention of the preset's queues, where the app's own is the usual one."""
    names = {
        "completed": ("keep_completed", kept.completed),
        "failed": ("keep_failed", kept.failed),
        "keep_completed": ("keep_completed_count", kept.last_completed),
        "keep_failed": ("keep_failed_count", kept.last_failed),
    }
    wanted: dict[str, Any] = {
        name: value
        for name, (setting, value) in names.items()
        if value is not None and getattr(app.settings, setting) == getattr(_DEFAULTS, setting)
    }
    return Keep(**wanted)


def _settle(app: Windlass, preset: Preset) -> None:
    """The lease of the preset, where the app has the usual one."""
    if preset.lease is not None and app.settings.lease == _DEFAULTS.lease:
        app.settings = replace(app.settings, lease=preset.lease)


def _keeper(app: Windlass, preset: Preset, kind: str) -> Handler[..., Any]:
    """A job that keeps house for the preset's queues."""
    found = app.handlers.get(kind)
    if found is None:
        _KEEPERS[kind](app, tuple(work.queue for work in preset.works))
        found = app.handlers[kind]
    return found


def _add_health(app: Windlass, queues: tuple[str, ...]) -> None:
    async def report_queue_health() -> list[dict[str, Any]]:
        """The health of the queues."""
        from windlass.compat.services import queue_health

        return [await queue_health(app, name) for name in queues]

    app.job(kind="report-queue-health", queue="maintenance", max_attempts=1)(report_queue_health)


_KEEPERS: Mapping[str, Callable[[Windlass, tuple[str, ...]], None]] = {
    "report-queue-health": _add_health,
}
