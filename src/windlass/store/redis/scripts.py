"""The scripts: `prelude.lua`, the shared parts a verb needs, and `<verb>.lua`, joined into one text with its SHA."""

import hashlib
import re
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
    text = fill(without_unused(text), not_triggered=NOT_TRIGGERED, orders=ORDERS, end_of_time=str(END_OF_TIME))
    return Script(verb, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


_FUNCTION = re.compile(r"(?:local )?function (?:\w+\.)?(\w+)")
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
