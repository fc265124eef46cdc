"""The scripts: `prelude.lua`, the shared parts a verb needs, and `<verb>.lua`, joined into one text with its SHA."""

import hashlib
from functools import cache
from importlib import resources
from typing import NamedTuple

from windlass.clock import END_OF_TIME
from windlass.job import NOT_TRIGGERED
from windlass.lease import ORDERS
from windlass.store.statement import fill, load

_ENDS = ("ends.lua",)
_INSERT = ("ends.lua", "insert.lua")
_REVIVE = ("ends.lua", "revive.lua")
_PARTS: dict[str, tuple[str, ...]] = {
    "claim": _ENDS,
    "command": _REVIVE,
    "dump": _ENDS,
    "enqueue": _INSERT,
    "finish": _INSERT,
    "fire": _INSERT,
    "load": _ENDS,
    "promote": (*_INSERT, "revive.lua"),
    "prune": _ENDS,
    "signal": _ENDS,
    "stage": _INSERT,
}
_SHARED = {"prelude.lua", *_INSERT, *_REVIVE}


class Script(NamedTuple):
    """The text that EVAL takes and the SHA1 that EVALSHA names it by."""

    name: str
    text: str
    sha: str


@cache
def load_all() -> None:
    """Read every script now: a package that is replaced under a running process must not mix two versions."""
    for file in resources.files("windlass.store.redis").iterdir():
        if file.name.endswith(".lua") and file.name not in _SHARED:
            script(file.name.removesuffix(".lua"))


@cache
def script(verb: str) -> Script:
    """The whole script of a verb."""
    files = ("prelude.lua", *_PARTS.get(verb, ()), f"{verb}.lua")
    text = "\n".join(load("windlass.store.redis", file) for file in files)
    text = fill(text, not_triggered=NOT_TRIGGERED, orders=ORDERS, end_of_time=str(END_OF_TIME))
    return Script(verb, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
