"""What type a file is by its content, whatever its name and its sender say; puremagic, with the answers it leaves open."""

import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

_UNKNOWN = "application/octet-stream"
_SAME = {
    "application/ogg": "audio/ogg",
    "application/x-bzip2": "application/x-bzip",
    "application/x-gzip": "application/gzip",
    "application/x-matroska": "video/x-matroska",
    "application/x-pdf": "application/pdf",
    "application/x-zip-compressed": "application/zip",
    "application/csv": "text/csv",
    "application/xml": "text/xml",
    "audio/mp3": "audio/mpeg",
    "audio/vnd.wave": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/x-flac": "audio/flac",
    "audio/x-m4a": "audio/mp4",
    "audio/x-wav": "audio/wav",
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/vnd.microsoft.icon": "image/x-icon",
    "image/x-bmp": "image/bmp",
    "image/x-ms-bmp": "image/bmp",
    "image/x-png": "image/png",
    "video/avi": "video/x-msvideo",
    "video/x-m4v": "video/mp4",
}
_ENDINGS = {
    "application/gzip": ("gz", "tgz"),
    "application/json": ("json", "txt"),
    "application/pdf": ("pdf",),
    "application/zip": ("zip",),
    "audio/flac": ("flac",),
    "audio/mp4": ("m4a", "mp4"),
    "audio/mpeg": ("mp3",),
    "audio/ogg": ("ogg", "oga", "opus"),
    "audio/wav": ("wav",),
    "image/avif": ("avif",),
    "image/bmp": ("bmp",),
    "image/gif": ("gif",),
    "image/jpeg": ("jpg", "jpeg", "jpe", "jfif"),
    "image/png": ("png",),
    "image/svg+xml": ("svg",),
    "image/tiff": ("tif", "tiff"),
    "image/webp": ("webp",),
    "text/csv": ("csv", "txt"),
    "text/html": ("html", "htm"),
    "text/plain": ("txt", "text", "md", "log", "csv", "json", "srt", "vtt"),
    "video/mp4": ("mp4", "m4v", "m4a", "mov"),
    "video/quicktime": ("mov", "qt", "mp4"),
    "video/webm": ("webm", "mkv"),
    "video/x-matroska": ("mkv", "mka", "webm"),
    "video/x-msvideo": ("avi",),
}
_OFFICE = "application/vnd.openxmlformats-officedocument"
_PACKED = {
    "word/": f"{_OFFICE}.wordprocessingml.document",
    "xl/": f"{_OFFICE}.spreadsheetml.sheet",
    "ppt/": f"{_OFFICE}.presentationml.presentation",
}
_HEAD = 4096
_MOST_NAMES = 200


def sniff(path: Path) -> str:
    """The media type of a file's content; `application/octet-stream` for what nobody knows."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        return _UNKNOWN
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _of_zip(path)
    return _of_text(head) or same(_by_magic(path))


def same(media_type: str) -> str:
    """A media type by its usual name, without parameters."""
    plain = media_type.partition(";")[0].strip().lower()
    return _SAME.get(plain, plain)


def ending_of(media_type: str) -> str | None:
    """The usual ending of a file's name."""
    found = _ENDINGS.get(media_type)
    return found[0] if found else None


def name_fits(name: str, media_type: str) -> bool:
    """Whether a file name may stand for the content. An ending that nobody knows says nothing; nor does one of another picture
    format, since programs save pictures under any."""
    ending = name.rpartition(".")[2].lower() if "." in name else ""
    meant = [kind for kind, endings in _ENDINGS.items() if ending in endings]
    if not meant or media_type in meant:
        return True
    safe = media_type.startswith("image/") and media_type != "image/svg+xml"
    return safe and all(kind.startswith("image/") for kind in meant)


def _by_magic(path: Path) -> str:
    puremagic: Any = import_module("puremagic")  # its signatures have no types
    try:
        found = puremagic.magic_file(path)
    except (ValueError, puremagic.PureError):
        return _UNKNOWN
    return next((each.mime_type for each in found if each.mime_type), _UNKNOWN)


def _of_zip(path: Path) -> str:
    """Documents are zip files too: the names inside tell."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()[:_MOST_NAMES]
            if names and names[0] == "mimetype":
                told = archive.open("mimetype").read(100).decode("ascii", "replace").strip()
                return told if told.startswith("application/") else "application/zip"
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, ValueError):
        return "application/zip"  # of a kind that the guard of archives refuses
    if "[Content_Types].xml" in names:
        kinds = (kind for start, kind in _PACKED.items() if any(name.startswith(start) for name in names))
        return next(kinds, "application/zip")
    return "application/zip"


def _of_text(head: bytes) -> str | None:
    """The type of a text; None of what is none. What a browser would run is told before what it looks like otherwise."""
    if b"\0" in head:
        return None
    text = _decoded(head)
    if text is None:
        return None
    start = text.lstrip("\ufeff \t\r\n").lower()
    if start.startswith(("<!doctype html", "<html", "<script", "<body", "<iframe")):
        return "text/html"
    if "<svg" in start[:1000] and start.startswith("<"):
        return "image/svg+xml"
    if start.startswith("<?php"):
        return "application/x-httpd-php"
    if start.startswith("<?xml"):
        return "text/xml"
    if start.startswith("#!"):
        return "text/x-shellscript"
    if start.startswith("%pdf"):
        return "application/pdf"
    if start.startswith("%!ps"):
        return "application/postscript"
    if start.startswith(("gif8", "{\\rtf")):  # known by magic, and of plain letters when short
        return None
    if start[:1] in ("{", "["):
        return "application/json"
    lines = [line for line in text.splitlines()[:5] if line]
    commas = {line.count(",") for line in lines}
    return "text/csv" if len(lines) > 1 and len(commas) == 1 and commas != {0} else "text/plain"


def _decoded(head: bytes) -> str | None:
    for cut in range(4):  # a character may be cut in two at the end of what was read
        try:
            text = head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        odd = sum(ord(c) < 32 and c not in "\t\r\n\f\x1b" for c in text)
        return None if odd else text
    return None
