"""`storage-cleanup`: what nobody will ask for: old temporary files, folders of killed workers, files of jobs that are gone."""

import asyncio
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import Field

from windlass import Context, Job, JobNotFound, Windlass
from windlass.catalogue.inputs import Input, Output
from windlass.catalogue.installing import kit_of
from windlass.catalogue.storage import Storage, Stored
from windlass.keyed import Keyed

TEMPORARY = "tmp/"
"""Keys of files that are meant to vanish."""
_OF_JOB = re.compile(r"t/[^/\s\"]+/u/[^/\s\"]+/jobs/([^/\s\"]+)/")
_FOLDER = re.compile(r"windlass-([0-9a-f]{12})-\w+")
_PAGE = 1_000
_LIVE = ("waiting", "delayed", "blocked", "retrying", "active", "failed")
_SAMPLE = 50


class CleanupInput(Input):
    """How old things must be, in hours; `orphans_after_h` counts from the run that found a file without its job. `dry_run` only
    tells. `most`: files deleted in one run."""

    temporary_after_h: Annotated[float, Field(ge=1, le=8_760)] = 24
    orphans_after_h: Annotated[float, Field(ge=1, le=8_760)] = 72
    orphans: bool = True
    dry_run: bool = False
    most: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    most_live: Annotated[int, Field(ge=1, le=10_000_000)] = 200_000


class CleanupOutput(Output):
    """What went, or would with `dry_run`. `marked`: jobs whose files were found to be orphans, for a later run. `skipped`:
    why orphans were not looked for. `sample`: the first keys that went."""

    folders: int
    temporary: int
    orphans: int
    bytes: int
    marked: int
    skipped: str = ""
    sample: tuple[str, ...] = ()


class _Swept:
    """What a run has done so far."""

    def __init__(self, storage: Storage, given: CleanupInput) -> None:
        self._storage = storage
        self._given = given
        self.count = 0
        self.bytes = 0
        self.keys: list[str] = []

    @property
    def is_full(self) -> bool:
        return self.count >= self._given.most

    async def drop(self, file: Stored) -> None:
        if not self._given.dry_run:
            await self._storage.delete(file.key)
        self.count += 1
        self.bytes += file.bytes
        if len(self.keys) < _SAMPLE:
            self.keys.append(file.key)


async def clean_up(ctx: Context, given: CleanupInput) -> CleanupOutput:
    """Remove what is old and belongs to nobody. Nothing else is touched, quarantine least of all; a repeated run does no harm."""
    kit = kit_of(ctx)
    now = datetime.now(UTC)
    old = now - timedelta(hours=given.temporary_after_h)
    ctx.progress(5, "folders")
    folders = await _folders(kit.app, old, given.dry_run)
    swept = _Swept(kit.storage, given)
    ctx.progress(20, "temporary files")
    async for file in kit.storage.list(TEMPORARY):
        if swept.is_full:
            break
        if file.modified < old:
            await swept.drop(file)
    temporary = swept.count
    marked, skipped = 0, "" if given.orphans else "not asked for"
    if given.orphans:
        ctx.progress(40, "orphans")
        marked, skipped = await _orphans(kit.app, kit.storage, given, now, swept)
    return CleanupOutput(
        folders=folders,
        temporary=temporary,
        orphans=swept.count - temporary,
        bytes=swept.bytes,
        marked=marked,
        skipped=skipped,
        sample=tuple(swept.keys),
    )


async def _folders(app: Windlass, old: datetime, is_dry: bool) -> int:
    """Folders of attempts on this machine whose worker was killed: old, and of no job that runs."""
    running = {job.id[-12:] async for job in _jobs(app, ("active",))}
    found = await asyncio.to_thread(_left_behind, Path(tempfile.gettempdir()), running, old)
    if not is_dry:
        for folder in found:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    return len(found)


def _left_behind(root: Path, running: set[str], old: datetime) -> list[Path]:
    found: list[Path] = []
    for folder in root.glob("windlass-*-*"):
        name = _FOLDER.fullmatch(folder.name)
        if name is not None and name[1] not in running and folder.is_dir() and not folder.is_symlink():
            try:
                newest = max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
            except OSError:  # it goes while we look: somebody else's
                continue
            if datetime.fromtimestamp(newest, UTC) < old:
                found.append(folder)
    return found


async def _orphans(
    app: Windlass, storage: Storage, given: CleanupInput, now: datetime, swept: _Swept
) -> tuple[int, str]:
    """Files under `jobs/<id>/` of jobs that are gone and that no job which may still run names. Found once, they are marked;
    found again later, they go."""
    files: dict[str, list[Stored]] = {}
    async for file in storage.list("t/"):
        found = _OF_JOB.match(file.key)
        if found is not None:
            files.setdefault(found[0], []).append(file)
    marks = Keyed(app, "storage.orphans")
    known = {kept.value["prefix"]: kept for kept in await marks.list()}
    gone = await _gone(app, files)
    if gone:
        named = await _named(app, given.most_live)
        if named is None:
            return 0, f"more than {given.most_live:,} jobs may still run: too many to look for the files that they name"
        gone -= named
    patience = now - timedelta(hours=given.orphans_after_h)
    marked = 0
    for prefix in sorted(gone):
        mark = known.pop(prefix, None)
        if mark is None:
            marked += 1
            if not given.dry_run:
                value = {"prefix": prefix, "since": now.isoformat()}
                await marks.put(_name(prefix), value, expect=0, ttl="400d")
        elif datetime.fromisoformat(mark.value["since"]) <= patience:
            for file in files[prefix]:
                if not swept.is_full and file.modified <= patience:
                    await swept.drop(file)
            if not swept.is_full and not given.dry_run:
                await marks.delete(mark.key)
    if not given.dry_run:  # of files that went otherwise, or are named again
        await marks.delete(*(mark.key for mark in known.values()))
    return marked, ""


async def _gone(app: Windlass, prefixes: Iterable[str]) -> set[str]:
    """Those whose job the store does not know any more."""
    found: set[str] = set()
    for prefix in prefixes:
        try:
            await app.jobs.get(unquote(prefix.rstrip("/").rpartition("/")[2]))
        except JobNotFound:
            found.add(prefix)
    return found


async def _named(app: Windlass, most: int) -> set[str] | None:
    """What the arguments of jobs that run, wait or may be retried name; None if they are too many."""
    found: set[str] = set()
    count = 0
    async for job in _jobs(app, _LIVE):
        count += 1
        if count > most:
            return None
        found.update(match[0] for match in _OF_JOB.finditer(_text(job.args)))
    return found


async def _jobs(app: Windlass, states: tuple[str, ...]) -> AsyncIterator[Job]:
    cursor: str | None = None
    while True:
        page = await app.jobs.list(state=states, limit=_PAGE, cursor=cursor)
        for job in page.items:
            yield job
        cursor = page.next
        if cursor is None:
            return


def _text(args: Any) -> str:
    return json.dumps(args, ensure_ascii=False, default=str)


def _name(prefix: str) -> str:
    return hashlib.sha256(prefix.encode()).hexdigest()[:40]


__all__ = ["TEMPORARY", "CleanupInput", "CleanupOutput", "clean_up"]
