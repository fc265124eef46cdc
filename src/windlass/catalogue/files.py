"""The handler of `file-processing`: fetched, measured, recognised, looked through, scanned, and only then decoded."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, field_validator, model_validator

from windlass import Context, WindlassError
from windlass.catalogue.files_sniff import ending_of, name_fits, same, sniff
from windlass.catalogue.files_source import Brought, Owner, bring, key_of, owner_for
from windlass.catalogue.guards import FileRefused, archive_kind, check_archive, check_entry_name
from windlass.catalogue.images import MEDIA_TYPES, Picture, Wanted, process
from windlass.catalogue.inputs import Artifact, JobInput, Line, Output, Part
from windlass.catalogue.installing import Kit, kit_of
from windlass.catalogue.scan import Clamd, ScannerUnavailable, Verdict
from windlass.catalogue.storage import FileTooLarge, owner_of, prefix_of, safe_name

Task: TypeAlias = Literal["virus_scan", "image_optimization", "thumbnail", "format_conversion", "validation", "full"]
Side = Annotated[int, Field(ge=1, le=8192)]
PictureFormat: TypeAlias = Literal["jpeg", "png", "webp", "avif", "gif"]


class TypeNotAllowed(WindlassError, ValueError):
    """`got`, `allowed`: a file of a type that is not taken, or not what it is said to be."""

    code = "type-not-allowed"
    retryable = False


class FileOptions(Part):
    """What is done beside the `processingType`. `scan_for_viruses` None: where a scanner is set up."""

    generate_thumbnail: bool = False
    optimize_image: bool = False
    scan_for_viruses: bool | None = None


class FileInput(JobInput):
    """A file of a user. `file_url`: a URL, or a key of the storage."""

    file_id: Annotated[str, Field(min_length=1, max_length=200)]
    file_url: Annotated[str, Field(min_length=1, max_length=4000)]
    file_name: Annotated[Line, Field(max_length=255)] = ""
    file_type: Annotated[Line, Field(max_length=150)] = ""
    file_size: Annotated[int, Field(ge=0)] | None = None
    product_id: str | None = None
    processing_type: Task = "full"
    options: FileOptions = FileOptions()
    target_format: PictureFormat | None = None
    thumbnail_sizes: Annotated[list[tuple[Side, Side]], Field(max_length=10)] = Field(
        default_factory=lambda: [(320, 320)]
    )
    max_width: Side = 2048
    quality: Annotated[int, Field(ge=0, le=100)] = 0
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None

    @field_validator("file_name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if name and ("/" in name or "\\" in name or check_entry_name(name) in (".", "..")):
            raise ValueError("is a path, not a name")
        return name

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.processing_type == "format_conversion" and self.target_format is None:
            raise ValueError("format_conversion needs targetFormat")
        return self


class FileOutput(Output):
    """What became of it. `infected`: the file is in quarantine, and nothing was made of it."""

    file_id: str
    verdict: Literal["clean", "infected", "unscanned"]
    signature: str | None = None
    scanner: str | None = None
    media_type: str
    bytes: int
    sha256: str
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    unpacked: int | None = None
    saved: int = 0
    artifacts: list[Artifact] = Field(default_factory=list[Artifact])
    quarantine: str | None = None


async def process_file(ctx: Context, given: FileInput) -> FileOutput:
    """Process a file of a user. An infected one is a finding, not a failure: the job completes with that verdict."""
    kit = kit_of(ctx)
    owner = owner_for(ctx, given.tenant, given.user_id)
    limit = kit.settings.files.max_size
    if given.file_size is not None and given.file_size > limit:
        raise FileTooLarge(
            f"the file has {given.file_size:,} bytes; the limit is {limit:,}", key=given.file_url, limit=limit
        )
    ctx.progress(5, "fetching")
    file = await bring(ctx, kit, given.file_url, "source", owner=owner, most=limit)
    _check_content(given, file)
    ctx.progress(20, "looking at its type")
    media_type = await asyncio.to_thread(sniff, file.path)
    check_type(given, media_type, kit.settings.files.allowed_types)
    unpacked = await asyncio.to_thread(_unpacked, file.path)
    about: dict[str, Any] = {
        "file_id": given.file_id, "media_type": media_type, "bytes": file.bytes, "sha256": file.sha256, "unpacked": unpacked,
    }  # fmt: skip
    ctx.progress(30, "scanning")
    verdict, scanner = await _scanned(kit, given, file.path)
    if verdict is not None and not verdict.is_clean:
        ctx.log(f"{given.file_id} is infected: {verdict.signature}", level="warning", user=given.user_id)
        place = await _quarantine(kit, given, file, owner)
        return FileOutput(**about, verdict="infected", signature=verdict.signature, scanner=scanner, quarantine=place)
    ctx.progress(50, "decoding")
    about |= {"verdict": "unscanned" if verdict is None else "clean", "scanner": scanner}
    if not media_type.startswith("image/") or media_type == "image/svg+xml":
        if given.processing_type in ("image_optimization", "thumbnail", "format_conversion"):
            raise TypeNotAllowed(
                f"{given.processing_type} is for pictures, and this is {media_type}",
                got=media_type,
                allowed=["image/*"],
            )
        return FileOutput(**about)
    return await _picture(ctx, kit, given, file, owner, about)


def check_type(given: FileInput, found: str, allowed: tuple[str, ...]) -> None:
    """Refuse a type that is not taken, and a file that is not what its sender or its name says. Raises `TypeNotAllowed`."""
    is_plain = found != "image/svg+xml"  # a document that runs scripts: only where it is named
    if not any(
        found == same(each) or (is_plain and each.endswith("/*") and found.startswith(each[:-1])) for each in allowed
    ):
        raise TypeNotAllowed(
            f"the file is {found}, which is not among {', '.join(allowed)}", got=found, allowed=list(allowed)
        )
    if given.file_type and same(given.file_type) != found:
        raise TypeNotAllowed(f"the file is {found}, not {given.file_type}", got=found, allowed=[given.file_type])
    if not name_fits(given.file_name, found):
        raise TypeNotAllowed(f"the file is {found}, and is called {given.file_name!r}", got=found, allowed=[])


def _check_content(given: FileInput, file: Brought) -> None:
    if file.bytes == 0:
        raise FileRefused("the file is empty", reason="corrupt")
    if given.sha256 is not None and given.sha256 != file.sha256:
        raise FileRefused(f"the file's SHA-256 is {file.sha256}, not the one that was told", reason="corrupt")


def _unpacked(path: Path) -> int | None:
    with path.open("rb") as file:
        if archive_kind(file) is None:
            return None
    return check_archive(path)


async def _scanned(kit: Kit, given: FileInput, path: Path) -> tuple[Verdict | None, str | None]:
    wanted = given.options.scan_for_viruses
    if given.processing_type == "virus_scan" or (given.processing_type == "full" and wanted is not False):
        wanted = True
    address = kit.settings.files.clamd
    if wanted is False or (wanted is None and not address):
        return None, None
    if not address:
        raise ScannerUnavailable("a scan is wanted and no scanner is set up here (WINDLASS_CLAMD)")
    scanner = Clamd(address)
    return await scanner.scan(path), await scanner.version()


async def _quarantine(kit: Kit, given: FileInput, file: Brought, owner: Owner) -> str:
    """Keep the file where nobody serves it from, and take it away from where it was."""
    place = f"quarantine/{prefix_of(owner.tenant, owner.user)}{file.sha256}"
    await kit.storage.put(place, file.path, media_type="application/octet-stream")
    if not given.file_url.startswith(("http://", "https://")):
        key = key_of(given.file_url, kit.settings.storage.url)
        if owner_of(key) == (owner.tenant, owner.user or "-"):
            await kit.storage.delete(key)
    return place


async def _picture(
    ctx: Context, kit: Kit, given: FileInput, file: Brought, owner: Owner, about: Mapping[str, Any]
) -> FileOutput:
    wanted = _wanted(given, about["media_type"], ctx.workdir)
    picture = await process(file.path, wanted)
    ctx.progress(85, "storing")
    where = f"{prefix_of(owner.tenant, owner.user)}files/{file.sha256[:32]}/"
    artifacts = [
        await kit.storage.put(where + made.path.name, made.path, media_type=MEDIA_TYPES[made.format])
        for made in picture.made
    ]
    return FileOutput(
        **about,
        width=picture.width,
        height=picture.height,
        frames=picture.frames,
        artifacts=artifacts,
        saved=_saved(picture, file.bytes),
    )


def _wanted(given: FileInput, media_type: str, folder: Path) -> list[Wanted]:
    """The pictures to make. Their names tell how they were made, so the same wish always gives the same keys."""
    stem = safe_name(given.file_name.rpartition(".")[0], "picture")
    task, options = given.processing_type, given.options
    quality = f"_q{given.quality}" if given.quality else ""
    found: list[Wanted] = []
    if task in ("image_optimization", "full") or options.optimize_image:
        kind = given.target_format or "webp"
        path = folder / f"{stem}_{given.max_width}{quality}.{ending_of(MEDIA_TYPES[kind])}"
        box = (given.max_width, given.max_width)
        found.append(Wanted(path=path, format=kind, box=box, quality=given.quality))
    if task == "format_conversion" and given.target_format:
        path = folder / f"{stem}{quality}.{ending_of(MEDIA_TYPES[given.target_format])}"
        found.append(Wanted(path=path, format=given.target_format, box=(16384, 16384), quality=given.quality))
    if task in ("thumbnail", "full") or options.generate_thumbnail:
        kind = given.target_format or "webp"
        for width, height in given.thumbnail_sizes:
            path = folder / f"{stem}_{width}x{height}{quality}.{ending_of(MEDIA_TYPES[kind])}"
            found.append(
                Wanted(path=path, format=kind, box=(width, height), cut=True, still=True, quality=given.quality)
            )
    return found


def _saved(picture: Picture, size: int) -> int:
    """By how many bytes the first picture that was made is smaller; 0 if it is not."""
    return max(0, size - picture.made[0].bytes) if picture.made else 0
