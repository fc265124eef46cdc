"""Guards against files that are made to do harm: archives that unpack to disk-fulls, pictures that unpack to memory-fulls."""

import gzip
import lzma
import tarfile
import tempfile
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, Any

from windlass import WindlassError

_PART = 1 << 16
_IN_MEMORY = 4 << 20
_SMALL = 1 << 20
"""Bytes below which no ratio is a danger: a megabyte of blanks packs 1,000 to one and does nobody harm."""


class FileRefused(WindlassError, ValueError):
    """`reason`: `bomb`, `traversal`, `link`, `depth`, `count`, `encrypted`, `corrupt`, `pixels`."""

    code = "file-refused"
    retryable = False


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What an archive may unpack to."""

    ratio: float = 100.0
    total: int = 1 << 30
    entries: int = 10_000
    depth: int = 3


def check_archive(source: Path | bytes, limits: ArchiveLimits | None = None) -> int:
    """Look through a zip, tar or gzip file, and those inside, without writing anything; the bytes it unpacks to. What is no
    archive counts as it is. Raises `FileRefused`."""
    bounds = limits or ArchiveLimits()
    size = source.stat().st_size if isinstance(source, Path) else len(source)
    with source.open("rb") if isinstance(source, Path) else BytesIO(source) as file:
        walk = _Walk(bounds, max(size, 1))
        walk.look(file, 0)
        return walk.total


_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,
)


class _Walk:
    def __init__(self, limits: ArchiveLimits, size: int) -> None:
        self._limits = limits
        self._size = size
        self.total = 0
        self.entries = 0

    def look(self, file: IO[bytes], depth: int) -> None:
        kind = archive_kind(file)
        if kind is None:
            return
        if depth >= self._limits.depth:
            raise FileRefused(f"archives are packed deeper than {self._limits.depth} levels", reason="depth")
        try:
            {"zip": self._zip, "tar": self._tar, "gzip": self._gzip}[kind](file, depth)
        except FileRefused:
            raise
        except _BROKEN as error:
            raise FileRefused(f"the {kind} file cannot be read: {error}", reason="corrupt") from error

    def _zip(self, file: IO[bytes], depth: int) -> None:
        with zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                self._count(entry.filename)
                if entry.flag_bits & 1:
                    raise FileRefused(f"{entry.filename!r} is encrypted, so nobody can look at it", reason="encrypted")
                if entry.external_attr >> 28 == 0xA:
                    raise FileRefused(f"{entry.filename!r} is a link", reason="link")
                if not entry.is_dir():
                    self._expect(entry.file_size)
                    with archive.open(entry) as inner:
                        self._unpack(inner, depth)

    def _tar(self, file: IO[bytes], depth: int) -> None:
        # As a stream: a tar.gz is unpacked part by part, counted, and never sought in.
        with tarfile.open(fileobj=file, mode="r|*") as archive:
            for entry in archive:
                self._count(entry.name)
                if entry.issym() or entry.islnk():
                    raise FileRefused(f"{entry.name!r} is a link", reason="link")
                if not (entry.isfile() or entry.isdir()):
                    raise FileRefused(f"{entry.name!r} is a device or a pipe", reason="link")
                self._expect(entry.size)
                inner = archive.extractfile(entry) if entry.isfile() else None
                if inner is not None:
                    self._unpack(inner, depth)

    def _gzip(self, file: IO[bytes], depth: int) -> None:
        with gzip.GzipFile(fileobj=file) as inner:
            self.entries += 1
            self._unpack(inner, depth)

    def _unpack(self, inner: IO[bytes] | gzip.GzipFile, depth: int) -> None:
        """Read an entry to its end; keep it only while it may be an archive itself."""
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as kept:
            first = inner.read(_PART)
            kept.write(first)
            self._add(len(first))
            nested = archive_kind(kept) is not None
            kept.seek(0, 2)
            while part := inner.read(_PART):
                self._add(len(part))
                if nested:
                    kept.write(part)
            if nested:
                self.look(kept, depth + 1)

    def _count(self, name: str) -> None:
        self.entries += 1
        if self.entries > self._limits.entries:
            raise FileRefused(f"the archive has more than {self._limits.entries:,} entries", reason="count")
        check_entry_name(name)

    def _expect(self, size: int) -> None:
        if self.total + size > self._limits.total:
            raise FileRefused(f"the archive unpacks to more than {self._limits.total:,} bytes", reason="bomb")

    def _add(self, size: int) -> None:
        self.total += size
        self._expect(0)
        if self.total > _SMALL and self.total > self._limits.ratio * self._size:
            raise FileRefused(f"the archive unpacks to more than {self._limits.ratio:g} times its size", reason="bomb")


def check_entry_name(name: str) -> str:
    """The name of an archive's entry if it stays inside the folder it is unpacked to."""
    plain = name.replace("\\", "/")
    path = PurePosixPath(plain)
    drive = len(plain) > 1 and plain[1] == ":"
    if not plain or path.is_absolute() or drive or ".." in path.parts or "\0" in plain:
        raise FileRefused(f"{name[:200]!r} leads out of the archive", reason="traversal")
    return name


def archive_kind(file: IO[bytes]) -> str | None:
    """`zip`, `tar` (packed or not), `gzip`, or None; the file stands at its start afterwards."""
    file.seek(0)
    head = file.read(512)
    file.seek(0)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return "zip"
    if head[257:262] == b"ustar":
        return "tar"
    if head.startswith(b"\x1f\x8b"):
        return "tar" if _is_packed_tar(file) else "gzip"
    if head.startswith((b"BZh", b"\xfd7zXZ\0")):
        return "tar"
    return None


def _is_packed_tar(file: IO[bytes]) -> bool:
    try:
        return gzip.GzipFile(fileobj=file).read(512)[257:262] == b"ustar"
    except (OSError, EOFError, zlib.error):
        return False
    finally:
        file.seek(0)


MOST_PIXELS = 50_000_000
MOST_FRAMES = 500


def open_image(source: Path | bytes, *, most: int = MOST_PIXELS, frames: int = MOST_FRAMES) -> Any:
    """A Pillow image whose size was checked before anything of it was unpacked. Raises `FileRefused`."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the check below is the stricter one
            image = Image.open(source if isinstance(source, Path) else BytesIO(source))
    except Image.DecompressionBombError as error:
        raise FileRefused(str(error), reason="pixels") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise FileRefused(f"the picture cannot be read: {error}", reason="corrupt") from error
    width, height = image.size
    count = int(getattr(image, "n_frames", 1)) if width * height <= most else 1
    if width * height > most or count > frames or width * height * count > 8 * most:
        raise FileRefused(
            f"the picture has {width} x {height} pixels in {count} frames; the limit is {most:,} pixels, {frames} frames",
            reason="pixels",
        )
    return image


def check_header(value: str, field: str) -> str:
    """The text if it may stand in a header: no line break, no other control character. Raises `FileRefused`."""
    if any(ord(c) < 32 or ord(c) == 127 or c in "\u0085\u2028\u2029" for c in value):
        raise FileRefused(f"{field} holds a line break or another control character", reason="header")
    return value


__all__ = [
    "ArchiveLimits",
    "FileRefused",
    "archive_kind",
    "check_archive",
    "check_entry_name",
    "check_header",
    "open_image",
]
