"""Bringing the file that an input names into the attempt's folder: out of the storage or from a URL, bounded, of its owner."""

import asyncio
import hashlib
import shutil
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from windlass import Context
from windlass.catalogue.installing import Kit
from windlass.catalogue.storage import FileTooLarge, KeyRefused, NotOwner, Room, check_key, owner_of


class Owner(msgspec.Struct, frozen=True):
    """Whose files a job may read and writes."""

    tenant: str
    user: str | None


class Brought(msgspec.Struct, frozen=True):
    """A file that is here now."""

    path: Path
    bytes: int
    sha256: str


def owner_for(ctx: Context, tenant: str, user: str | None) -> Owner:
    """Whose files a job works with: its input's user. A job that belongs to somebody, as those of API users do, works only with
    that one's: the input is theirs to write, and the result theirs to read. Raises `NotOwner`."""
    holder = ctx.job.user
    if holder is not None and user is not None and holder != user:
        raise NotOwner(f"the job belongs to {holder!r}, and asks for files of {user!r}", key="", user=holder)
    return Owner(tenant, user if user is not None else holder)


async def bring(ctx: Context, kit: Kit, place: str, name: str, *, owner: Owner, most: int) -> Brought:
    """Copy what `place` names, a key of the storage or an http(s) URL, to `name` in the attempt's folder. Raises `NotOwner`,
    `NoSuchFile`, `FileTooLarge`, `KeyRefused`, and what `Fetch` raises."""
    folder = folder_of(ctx)
    path = folder / name
    most = min(most, await asyncio.to_thread(Room(folder, kit.settings.storage.work_bytes).left))
    if place.startswith(("http://", "https://")):
        await kit.fetch.save(place, path, most=most)
    else:
        key = key_of(place, kit.settings.storage.url)
        owned = owner_of(key)
        if owned is not None and owned != (owner.tenant, owner.user or "-"):
            raise NotOwner(f"{key!r} is not a file of {owner.user or 'nobody'}", key=key, user=owner.user)
        await kit.storage.download(key, path, most)
    size, digest = await asyncio.to_thread(_measured, path)
    if size > most:
        raise FileTooLarge(f"{place} has {size:,} bytes; the limit is {most:,}", key=place, size=size, limit=most)
    return Brought(path, size, digest)


def key_of(place: str, storage_url: str) -> str:
    """The key of a file: as it is, or of a path inside the folder that is the storage."""
    path = unquote(urlsplit(place).path) if place.startswith("file://") else place
    if path.startswith("/"):
        parts = urlsplit(storage_url)
        root = Path(unquote(parts.path)) if parts.scheme in ("", "file") and parts.path else None
        if root is None or not Path(path).is_relative_to(root):
            raise KeyRefused(
                f"{place[:200]!r} is not inside the storage", key=place[:200], mend="give a key of the storage"
            )
        path = str(Path(path).relative_to(root))
    return check_key(path)


def folder_of(ctx: Context) -> Path:
    """The attempt's folder. Those of earlier attempts of this job, whose worker was killed, go first: the lease is ours, so
    none of them is used any more."""
    mine = ctx.workdir
    stem = mine.name.rpartition("-")[0]
    for other in Path(tempfile.gettempdir()).glob(f"{stem}-*"):
        if other != mine:
            shutil.rmtree(other, ignore_errors=True)
    return mine


def _measured(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
