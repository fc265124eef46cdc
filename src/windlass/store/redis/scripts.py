"""The scripts: `prelude.lua`, the shared parts a verb needs, and `<verb>.lua`, joined into one text with its SHA."""

import hashlib
import re
import textwrap
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import NamedTuple

from windlass.store.statement import fill, load
from windlass.values.clock import END_OF_TIME
from windlass.values.job import NOT_TRIGGERED
from windlass.values.lease import ORDERS
from windlass.values.limit import BUCKETS, EXACT, GUARD
from windlass.values.query import SPARED
from windlass.values.queue import AGEING, HOUSE

_LAZY = {
    "open_lines = function()": ("limit.lua", "lines.lua"),
    "keep_books = function()": ("ledger.lua",),
    "if stirred then": ("turns.lua",),
}
"""Parts that a script makes only when it needs them, with what is written around them: Redis makes functions anew each time."""
_LINES = ("open_lines = function()", "keep_books = function()")
_ENDS = (*_LINES, "ends.lua")
_PLAIN = (*_LINES, "plain.lua")
_INSERT = (*_ENDS, "plain.lua", "insert.lua")
_COMPLETE = "complete.lua"
_SERVE = (*_ENDS, "lease.lua", "serve.lua")
_REVIVE = (*_ENDS, "revive.lua")
_WALKS = (*_ENDS, "walks.lua")
_PARTS: dict[str, tuple[str, ...]] = {
    "check": (*_LINES, "check_lines.lua", "check_letters.lua", "remember.lua", "check_past.lua"),
    "claim": (*_SERVE, "if stirred then"),
    "claim_plain": _SERVE,
    "command": _REVIVE,
    "dump": _ENDS,
    "enqueue": _INSERT,
    "enqueue_plain": _PLAIN,
    "finish": (*_INSERT, _COMPLETE),
    "finish_plain": (*_ENDS, _COMPLETE),
    "fire": _INSERT,
    "load": _ENDS,
    "past": (*_LINES, "remember.lua"),
    "promote": (*_INSERT, "revive.lua"),
    "prune": (*_ENDS, "remember.lua"),
    "put_limits": _ENDS,
    "regroup": _WALKS,
    "reline": _ENDS,
    "rescue": _LINES,
    "settle": _ENDS,
    "signal": _ENDS,
    "stage": _INSERT,
    "standing": _ENDS,
    "strip": _WALKS,
    "limits": _LINES,
    "put_queue": _LINES,
    "take": _LINES,
    "unpark": _LINES,
}
_OTHERWISE = {
    "claim_plain": "claim",
    "enqueue_plain": "enqueue",
    "finish_plain": "finish",
    "promote_plain": "promote",
}
"""Verbs with a short script for plain cases, which calls `otherwise()` (before it has changed anything) for all others."""
_SHARED = {
    "prelude.lua",
    *_INSERT,
    *_REVIVE,
    *_WALKS,
    _COMPLETE,
    *_SERVE,
    "check_lines.lua",
    "check_letters.lua",
    "check_past.lua",
    "remember.lua",
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
    "house": HOUSE,
    "spared": str(SPARED),
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
    text = fill(_text(verb), **_VALUES)
    return Script(verb, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _text(verb: str) -> str:
    shared = "\n".join(_part(part) for part in ("prelude.lua", *_PARTS.get(verb, ())))
    blocks = reached(_blocks(shared), _blocks(load("windlass.store.redis", f"{verb}.lua")))
    core = next((at for at, block in enumerate(blocks, 1) if block.startswith("local KEY = ")), 0)
    # What a function takes from the function around it is copied, while a local of the same level is looked up among all that
    # were taken before: with everything below the first names in a function of its own, the rest is made a quarter faster.
    text = "\n".join([*blocks[:core], "return (function()", *blocks[core:], "end)()"])
    if verb in _OTHERWISE:
        text = f"local function otherwise()\n{_text(_OTHERWISE[verb])}\nend\n{text}"
    return text


def _part(name: str) -> str:
    if name not in _LAZY:
        return load("windlass.store.redis", name)
    body = "\n".join(load("windlass.store.redis", file) for file in _LAZY[name])
    return f"{name}\n{textwrap.indent(body, '  ')}\nend\n"


_FUNCTION = re.compile(r"(?:local )?function (\w+)\(")
_LOCAL = re.compile(r"local ([\w, ]+?)(?: =|$)", re.MULTILINE)
_SET = re.compile(r"(\w+) = |setmetatable\((\w+),")
_WORD = re.compile(r"[A-Za-z_]\w*")
_COMMENT = re.compile(r"--.*")


def reached(shared: Sequence[str], own: Sequence[str]) -> list[str]:
    """A verb's statements, with those shared ones that it reaches. Redis makes every function and table of a script anew at
    each call: those of the prelude were most of the time of a small verb (`now` 30 us with all of them, 6 us without)."""
    blocks = [block for block in shared if not block.startswith("--")]
    names = [_named(block) for block in blocks]
    words = [_words(block) - of for block, of in zip(blocks, names, strict=True)]
    needed = set[str]().union(*map(_words, own))
    kept = [False] * len(blocks)
    grew = True
    while grew:
        more = [keep or not of or not needed.isdisjoint(of) for of, keep in zip(names, kept, strict=True)]
        grew, kept = more != kept, more
        needed.update(*(of for of, keep in zip(words, kept, strict=True) if keep))
    return [*(block for block, keep in zip(blocks, kept, strict=True) if keep), *own]


def _named(block: str) -> set[str]:
    """The names that a statement is there for; nothing for one that is there for what it does."""
    found = _FUNCTION.match(block) or _LOCAL.match(block) or _SET.match(block)
    return set(_WORD.findall(" ".join(filter(None, found.groups())))) if found else set()


def _words(block: str) -> set[str]:
    return set(_WORD.findall(_COMMENT.sub("", block)))


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
