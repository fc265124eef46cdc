"""Reading and moving the version of a store's schema."""

import asyncio
from typing import NamedTuple

import typer

from windlass.cli.options import Plain
from windlass.cli.show import emit_json
from windlass.cli.target import Target


class Status(NamedTuple):
    """The store's address, the version found there, and the one this code writes."""

    url: str
    found: int
    known: int


def read_status(target: Target) -> Status:
    """Ask the store, without opening it: that would make one that is not there."""
    return asyncio.run(_read(target))


async def _read(target: Target) -> Status:
    store = target.store()
    try:
        return Status(store.url, *await store.schema())
    finally:
        await store.close()


def emit_status(status: Status, form: Plain) -> None:
    """Print it; exit code 1 if the versions differ."""
    behind = status.found < status.known
    state = "current" if status.found == status.known else "behind" if behind else "newer than this version"
    if not status.found:
        state = "empty: the first program that opens it makes it"
    if form is Plain.JSON:
        emit_json({"url": status.url, "found": status.found, "known": status.known, "state": state})
    else:
        print(f"{status.url}: schema {status.found}, this version writes {status.known}: {state}")
        if behind:
            print("run `windlass migrate up`")
        elif status.found > status.known:
            print("install the newer windlass")
    if status.found != status.known:
        raise typer.Exit(1)


def bring_up(target: Target, form: Plain) -> None:
    """Migrate and say which steps were taken."""
    steps = asyncio.run(_migrate(target))
    if form is Plain.JSON:
        emit_json({"steps": steps})
    else:
        print("\n".join([f"done: {step}" for step in steps] or ["nothing to do: the schema is current"]))


async def _migrate(target: Target) -> list[str]:
    store = target.store()
    try:
        return await store.migrate()
    finally:
        await store.close()
