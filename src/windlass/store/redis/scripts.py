"""The scripts: `prelude.lua`, the shared parts a verb needs, and `<verb>.lua`, joined into one text with its SHA."""

import hashlib
import re
import textwrap
from functools import cache
from importlib import resources
from typing import NamedTuple

from windlass.clock import END_OF_TIME
from windlass.job import NOT_TRIGGERED
from windlass.lease import ORDERS
from windlass.limit import BUCKETS, EXACT, GUARD
from windlass.queue import AGEING
from windlass.store.statement import fill, load

_LAZY = {"open_lines = function()": ("limit.lua", "lines.lua"), "if stirred then": ("turns.lua",)}
"""Parts that a script makes only when it needs them, with what is written around them: Redis makes functions anew each time."""
_LINES = ("open_lines = function()",)
_ENDS = (*_LINES, "ends.lua")
_INSERT = (*_ENDS, "insert.lua")
_REVIVE = (*_ENDS, "revive.lua")
_PARTS: dict[str, tuple[str, ...]] = {
    "check": (*_LINES, "check_lines.lua"),
    "claim": (*_ENDS, "lease.lua", "if stirred then"),
    "command": _REVIVE,
    "dump": _ENDS,
    "enqueue": _INSERT,
    "finish": _INSERT,
    "fire": _INSERT,
    "load": _ENDS,
    "promote": (*_INSERT, "revive.lua"),
    "prune": _ENDS,
    "put_limits": _ENDS,
    "reline": _ENDS,
    "rescue": _LINES,
    "signal": _ENDS,
    "stage": _INSERT,
    "standing": _ENDS,
    "limits": _LINES,
    "put_queue": _LINES,
    "take": _LINES,
    "unpark": _LINES,
}
_SHARED = {
    "prelude.lua",
    *_INSERT,
    *_REVIVE,
    "lease.lua",
    "check_lines.lua",
    *(file for files in _LAZY.values() for file in files),
}

_VALUES = {
    "not_triggered": NOT_TRIGGERED,
    "orders": ORDERS,
    "end_of_time": str(END_OF_TIME),
    "guard": str(GUARD),
    "exact": str(EXACT),
    "buckets": str(BUCKETS),
    "ageing": str(AGEING),
}


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
    parts = ("prelude.lua", *_PARTS.get(verb, ()), f"{verb}.lua")
    text = "\n".join(_lazy(part) if part in _LAZY else load("windlass.store.redis", part) for part in parts)
    text = fill(without_unused(text), **_VALUES)
    return Script(verb, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _lazy(name: str) -> str:
    body = "\n".join(load("windlass.store.redis", file) for file in _LAZY[name])
    return f"{name}\n{textwrap.indent(body, '  ')}\nend\n"


_FUNCTION = re.compile(r"(?:local )?function (\w+)\(")
_WORD = re.compile(r"[A-Za-z_]\w*")
_COMMENT = re.compile(r"--.*")


def without_unused(text: str) -> str:
    """The script without the shared functions that its verb never reaches. Redis makes every function of a script anew at
    each call: the prelude's were most of the time of a small verb (`now` 30 us with all of them, 6 us without)."""
    blocks = [block for block in _blocks(text) if not block.startswith("--")]
    names = [found[1] if (found := _FUNCTION.match(block)) else None for block in blocks]
    words = [set(_WORD.findall(_COMMENT.sub("", block))) for block in blocks]
    kept = [name is None for name in names]
    grew = True
    while grew:
        used = set[str]().union(*(of for of, keep in zip(words, kept, strict=True) if keep))
        more = [keep or name in used for name, keep in zip(names, kept, strict=True)]
        grew, kept = more != kept, more
    return "\n".join(block for block, keep in zip(blocks, kept, strict=True) if keep)


def _blocks(text: str) -> list[str]:
    """Statements of the outermost level: each begins at a line that is not indented and closes nothing."""
    blocks: list[str] = []
    for line in text.split("\n"):
        inside = not line or line[0].isspace() or line.startswith(("end", "}", ")", "else"))
        if inside and blocks:
            blocks[-1] += f"\n{line}"
        else:
            blocks.append(line)
    return blocks
