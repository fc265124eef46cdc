"""The app that the founding functions are about: they name none, so one is set for the process."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from windlass.app import Windlass
from windlass.errors import InvalidOption

P = ParamSpec("P")
R = TypeVar("R")

_apps: list[Windlass] = []


def use(app: Windlass) -> Windlass:
    """From now on the functions of `windlass.compat` are about this app."""
    _apps[:] = [app]
    return app


def current() -> Windlass:
    """The app set by `use`; raises `InvalidOption` if there is none."""
    if not _apps:
        raise InvalidOption("windlass.compat has no app yet", field="app", limit="an app", mend="compat.use(app) first")
    return _apps[0]


def on_app(fn: Callable[Concatenate[Windlass, P], R]) -> Callable[P, R]:
    """The function without its first parameter, which is the app in use."""

    @wraps(fn)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return fn(current(), *args, **kwargs)

    return call
