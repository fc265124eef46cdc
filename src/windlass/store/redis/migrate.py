"""Versions of the keys' layout: numbered steps, upwards only. `{ns}:schema` holds `<version> <last breaking version>`."""

from typing import NamedTuple

from windlass.errors import SchemaMismatch
from windlass.store.redis.connection import Link


class Step(NamedTuple):
    """`breaking`: code that knows only older versions must not touch the keys after it. `verb`: the script that rewrites
    what is there, a bounded part a call, answering how much is left; None when nothing has to be rewritten."""

    name: str
    breaking: bool
    verb: str | None = None


STEPS: tuple[Step, ...] = (Step("0001_start", True), Step("0002_ledgers", False, "regroup"))


def known() -> int:
    """The version that this code writes."""
    return len(STEPS)


async def found(link: Link) -> tuple[int, int]:
    """The version of the keys and the last breaking one; zeros when there are none."""
    version, breaking = await link.run("schema")
    return version, breaking


async def check(link: Link) -> None:
    """Raises `SchemaMismatch` unless this code can work on the keys; an empty namespace is migrated."""
    version, breaking = await found(link)
    if version == 0:
        await migrate(link)
    elif version < known():
        raise SchemaMismatch(
            f"the keys at {link.url} are version {version}; this Windlass writes {known()}",
            found=version,
            known=known(),
            mend="run `windlass migrate up`",
        )
    elif breaking > known():
        raise SchemaMismatch(
            f"the keys at {link.url} are version {version}; this Windlass knows {known()}",
            found=version,
            known=known(),
            mend="upgrade windlass",
        )


async def migrate(link: Link) -> list[str]:
    """Take the missing steps; their names. Two that do it at once share the work: a step's script may run any number of times,
    and only one of the two moves the version."""
    taken: list[str] = []
    version, _ = await found(link)
    empty = version == 0
    for number, step in enumerate(STEPS, 1):
        if number <= version:
            continue
        if step.verb is not None and not empty:
            while await link.run(step.verb):
                pass
        if await link.run("step", number, int(step.breaking)):
            taken.append(step.name)
    return taken
