"""Storage of files over obstore: local folders, S3, Google, Azure, memory; every key has an owner."""

import asyncio
import hashlib
import mimetypes
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, unquote, urlsplit

from windlass import SettingsError, WindlassError
from windlass.catalogue.inputs import Artifact
from windlass.catalogue.settings import StorageSettings

_PART = 1 << 20
_LONGEST_KEY = 900
_NAME = re.compile(r"[^\w.@+=,() -]", re.ASCII)
_KEY = re.compile(r"[A-Za-z0-9_.@+=,()%~ -]+(/[A-Za-z0-9_.@+=,()%~ -]+)*")
_OWNED = re.compile(r"t/(?P<tenant>[^/]+)/u/(?P<user>[^/]+)/")


class KeyRefused(WindlassError, ValueError):
    """`key`: one that leads elsewhere, holds odd characters, or is too long."""

    code = "key-refused"
    retryable = False


class NotOwner(WindlassError, PermissionError):
    """`key`, `user`: somebody else's file."""

    code = "not-owner"
    retryable = False


class NoSuchFile(WindlassError, FileNotFoundError):
    """`key`."""

    code = "no-such-file"
    retryable = False


class FileExists(WindlassError, FileExistsError):
    """`key`: there is one already, and it was not to be overwritten."""

    code = "file-exists"
    retryable = False


class FileTooLarge(WindlassError, ValueError):
    """`key` or `url`, `limit`: more bytes than may be read."""

    code = "file-too-large"
    retryable = False


@dataclass(frozen=True, slots=True)
class Stored:
    """A file in the storage."""

    key: str
    bytes: int
    modified: datetime
    etag: str | None = None


def check_key(key: str) -> str:
    """The key if it is one: relative, of plain characters, without `.` and `..`; raises `KeyRefused`."""
    parts = key.split("/")
    if len(key) <= _LONGEST_KEY and _KEY.fullmatch(key) and not any(part.strip(". ") == "" for part in parts):
        return key
    raise KeyRefused(f"{key[:200]!r} is no key of a file", key=key[:200], mend="use names and /, without . and ..")


def safe_name(name: str, default: str = "file") -> str:
    """The last part of somebody's file name, harmless in a key, a header and a folder."""
    last = re.split(r"[/\\]", name)[-1]
    kept = _NAME.sub("_", last).strip(". ")[-150:].strip(". ")
    return kept or default


def owner_of(key: str) -> tuple[str, str] | None:
    """(tenant, user) of a key, None for one that belongs to nobody."""
    found = _OWNED.match(key)
    return None if found is None else (unquote(found["tenant"]), unquote(found["user"]))


def check_owner(key: str, tenant: str, user: str | None) -> str:
    """The key if it belongs to that user of that tenant; raises `NotOwner`."""
    if owner_of(check_key(key)) != (tenant, user or "-"):
        raise NotOwner(f"{key!r} is not a file of {user or 'nobody'}", key=key, user=user)
    return key


def prefix_of(tenant: str, user: str | None) -> str:
    """Where the files of a user are: `t/<tenant>/u/<user>/`; those of nobody under `-`."""
    return f"t/{_quoted(tenant)}/u/{_quoted(user or '-')}/"


def job_prefix(tenant: str, user: str | None, job: str) -> str:
    """Where the files of one job are."""
    return f"{prefix_of(tenant, user)}jobs/{_quoted(job)}/"


def media_type_of(name: str) -> str:
    """What a file name says of its type."""
    return mimetypes.guess_type(name, strict=False)[0] or "application/octet-stream"


class Room:
    """The temporary folder of an attempt, with a quota: `Room(ctx.workdir, kit.settings.storage.work_bytes)`."""

    def __init__(self, folder: Path, most: int) -> None:
        self.folder = folder
        self._most = most

    def used(self) -> int:
        """Bytes of all files in it."""
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file() and not file.is_symlink())

    def left(self) -> int:
        """Bytes that still fit; what a download or a fetch may bring at most."""
        return max(0, self._most - self.used())

    def check(self, more: int = 0) -> None:
        """Raises `FileTooLarge` if it holds too much, or would with `more` bytes."""
        if self.used() + more > self._most:
            raise FileTooLarge(f"the job's files take more than {self._most:,} bytes", limit=self._most)


class Storage:
    """One place for files. Keys are checked in every call; who may use them is the caller's to check (`check_owner`)."""

    def __init__(self, store: Any, *, can_sign: bool, sign_for: float = 300.0, typed: bool = False) -> None:
        """`store`: an obstore store. `typed`: it keeps media types."""
        self._store = store
        self._can_sign = can_sign
        self._sign_for = sign_for
        self._typed = typed

    @classmethod
    def open(cls, settings: StorageSettings) -> "Storage":
        """The storage that the settings name; raises `SettingsError`."""
        from obstore.store import LocalStore, MemoryStore, from_url

        url = settings.url
        if not url:
            raise SettingsError("no storage is set up", field="WINDLASS_STORAGE_URL", mend="set WINDLASS_STORAGE_URL")
        scheme = urlsplit(url).scheme
        if scheme == "memory":
            return cls(MemoryStore(), can_sign=False, sign_for=settings.sign_for)
        if scheme in ("", "file"):
            folder = Path(unquote(urlsplit(url).path) if scheme else url).absolute()
            return cls(LocalStore(folder, mkdir=True), can_sign=False, sign_for=settings.sign_for)
        try:
            store = from_url(url, config=cast("Any", _config(scheme, settings)), client_options=_client(settings))
        except Exception as error:  # obstore's own errors tell the address, which may hold a password
            raise SettingsError(
                f"WINDLASS_STORAGE_URL cannot be used: {type(error).__name__}", field="WINDLASS_STORAGE_URL"
            ) from None
        return cls(store, can_sign=True, sign_for=settings.sign_for, typed=True)

    async def put(
        self, key: str, data: bytes | Path, *, if_absent: bool = False, media_type: str | None = None
    ) -> Artifact:
        """Write a file, whole or not at all; `if_absent` raises `FileExists` instead of overwriting."""
        from obstore import put_async

        name = check_key(key).rsplit("/", 1)[-1]
        kind = media_type or media_type_of(name)
        size, digest = await asyncio.to_thread(_measure, data)
        extra: dict[str, Any] = {"attributes": {"Content-Type": kind}} if self._typed else {}
        try:
            await put_async(self._store, key, data, mode="create" if if_absent else "overwrite", **extra)
        except Exception as error:
            raise _told(error, key) from error
        return Artifact(key=key, media_type=kind, bytes=size, sha256=digest, name=name)

    async def read(self, key: str, most: int) -> bytes:
        """A whole file of at most `most` bytes."""
        return b"".join([part async for part in self.stream(key, most)])

    async def stream(self, key: str, most: int | None = None) -> AsyncIterator[bytes]:
        """A file in parts; raises `NoSuchFile`, and `FileTooLarge` before more than `most` bytes were read."""
        from obstore import get_async

        try:
            found = await get_async(self._store, check_key(key))
        except Exception as error:
            raise _told(error, key) from error
        size = found.meta["size"]
        if most is not None and size > most:
            raise FileTooLarge(f"{key} has {size:,} bytes; the limit is {most:,}", key=key, size=size, limit=most)
        async for part in found.stream(min_chunk_size=_PART):
            yield bytes(part)

    async def download(self, key: str, path: Path, most: int | None = None) -> int:
        """Copy a file to a local path; its bytes."""
        size = 0
        with path.open("wb") as file:
            async for part in self.stream(key, most):
                await asyncio.to_thread(file.write, part)
                size += len(part)
        return size

    async def head(self, key: str) -> Stored:
        """What is known of a file; raises `NoSuchFile`."""
        from obstore import head_async

        try:
            return _stored(await head_async(self._store, check_key(key)))
        except Exception as error:
            raise _told(error, key) from error

    async def exists(self, key: str) -> bool:
        """Whether there is such a file."""
        try:
            await self.head(key)
        except NoSuchFile:
            return False
        return True

    async def delete(self, *keys: str) -> None:
        """Remove files; those that there are not are no error."""
        from obstore import delete_async

        for key in keys:
            try:
                await delete_async(self._store, check_key(key))
            except Exception as error:
                told = _told(error, key)
                if not isinstance(told, NoSuchFile):
                    raise told from error

    async def list(self, prefix: str = "") -> AsyncIterator[Stored]:
        """The files under a prefix that ends at a `/` (or all of them)."""
        import obstore

        where = check_key(prefix.rstrip("/")) if prefix.strip("/") else None
        pages = cast("AsyncIterator[Sequence[Any]]", cast("Any", obstore).list(self._store, where))
        async for page in pages:
            for meta in page:
                yield _stored(meta)

    async def sign(self, key: str, ttl: float | None = None) -> str:
        """A link with which anybody may read the file for `ttl` seconds. Raises `SettingsError` where the storage has no
        links: a local folder, memory."""
        from obstore import sign_async

        seconds = self._sign_for if ttl is None else ttl
        if not self._can_sign:
            raise SettingsError("this storage has no signed links", field="WINDLASS_STORAGE_URL", mend="use s3://, ...")
        return str(await sign_async(self._store, "GET", check_key(key), timedelta(seconds=seconds)))


def _quoted(text: str) -> str:
    quoted = quote(text, safe="@")
    return quoted.replace(".", "%2E") if not quoted.strip(".") else quoted


def _measure(data: bytes | Path) -> tuple[int, str]:
    if isinstance(data, bytes):
        return len(data), hashlib.sha256(data).hexdigest()
    with data.open("rb") as file:
        return data.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def _stored(meta: Any) -> Stored:
    return Stored(str(meta["path"]), int(meta["size"]), meta["last_modified"], meta.get("e_tag"))


def _told(error: Exception, key: str) -> Exception:
    """obstore's errors as ours; those that may pass stay what they are, which is temporary."""
    names = {cls.__name__ for cls in type(error).__mro__}
    if "NotFoundError" in names or "FileNotFoundError" in names:
        return NoSuchFile(f"there is no file {key}", key=key)
    if "AlreadyExistsError" in names:
        return FileExists(f"there is a file {key} already", key=key)
    if names & {"PermissionDeniedError", "UnauthenticatedError"}:
        return SettingsError("the storage refuses its credentials", field="WINDLASS_STORAGE_URL")
    if "InvalidPathError" in names:
        return KeyRefused(f"{key!r} is no key of a file", key=key)
    return error


def _config(scheme: str, settings: StorageSettings) -> dict[str, str] | None:
    found: dict[str, str] = {}
    if scheme in ("s3", "s3a"):
        given = {
            "endpoint": settings.endpoint,
            "region": settings.region,
            "access_key_id": settings.access_key.get_secret_value(),
            "secret_access_key": settings.secret_key.get_secret_value(),
        }
        found = {name: value for name, value in given.items() if value}
    return found or None


def _client(settings: StorageSettings) -> Any:
    return {"allow_http": True} if settings.endpoint.startswith("http://") else None


__all__ = [
    "FileExists",
    "FileTooLarge",
    "KeyRefused",
    "NoSuchFile",
    "NotOwner",
    "Room",
    "Storage",
    "Stored",
    "check_key",
    "check_owner",
    "job_prefix",
    "media_type_of",
    "owner_of",
    "prefix_of",
    "safe_name",
]
