"""`file-processing` from the job to the storage: every task, real clamd, and every file that must not get through."""

import asyncio
import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.catalogue.test_images import bomb, photo
from tests.catalogue.tools import EICAR, ENGINES, Studio, need, running_clamd, studio, web
from windlass import InvalidArgs
from windlass.catalogue.files_sniff import name_fits, sniff
from windlass.catalogue.settings import FetchSettings, FileSettings
from windlass.catalogue.storage import prefix_of

need("PIL", "puremagic")
from PIL import Image  # noqa: E402

EVERYTHING = ("image/*", "application/pdf", "application/zip", "text/plain")


@pytest.fixture(scope="module")
def clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    need("clamd")
    with running_clamd(tmp_path_factory.mktemp("clamd"), "25M") as address:
        yield address


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def settings(clamd: str = "", **changes: Any) -> dict[str, Any]:
    return {"files": FileSettings(clamd=clamd, allowed_types=EVERYTHING, **changes)}


def fields(key: str, **more: Any) -> dict[str, Any]:
    return {"fileId": "f1", "fileUrl": key, "userId": "ada", **more}


async def test_everything_that_is_made_of_a_picture(engine: str, clamd: str, tmp_path: Path) -> None:
    source = photo(tmp_path / "a.jpg", (4000, 3000), quality=95)
    async with studio(engine, tmp_path, "files", **settings(clamd)) as it:
        key = await it.put("a.jpg", source)
        found = await it.done("file-processing", **fields(key, fileName="Holiday 1.jpg", fileType="image/jpeg"))
        assert (found["verdict"], found["media_type"]) == ("clean", "image/jpeg")
        assert found["scanner"].startswith("ClamAV")
        assert (found["width"], found["height"], found["bytes"]) == (4000, 3000, source.stat().st_size)
        assert found["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
        large, small = found["artifacts"]
        assert large["name"] == "Holiday 1_2048.webp"
        assert found["saved"] == source.stat().st_size - large["bytes"] > 0
        with Image.open(io.BytesIO(await it.read(large["key"]))) as picture:
            assert (picture.format, picture.size) == ("WEBP", (2048, 1536))
        with Image.open(io.BytesIO(await it.read(small["key"]))) as picture:
            assert (picture.format, picture.size) == ("WEBP", (320, 320))
        again = await it.done("file-processing", **fields(key, fileName="Holiday 1.jpg", fileType="image/jpeg"))
        assert again["artifacts"] == found["artifacts"], "the same work has the same keys and bytes"


async def test_single_tasks(tmp_path: Path, clamd: str) -> None:
    async with studio(ENGINES[0], tmp_path, "files", **settings(clamd)) as it:
        png = await it.put("a.png", photo(tmp_path / "a.png", (800, 400)))
        found = await it.done("file-processing", **fields(png, processingType="validation"))
        assert (found["width"], found["artifacts"]) == (800, [])
        found = await it.done(
            "file-processing", **fields(png, processingType="format_conversion", targetFormat="jpeg", fileName="b.png")
        )
        assert [a["name"] for a in found["artifacts"]] == ["b.jpg"]
        found = await it.done(
            "file-processing", **fields(png, processing_type="thumbnail", thumbnail_sizes=[[50, 50], [100, 40]])
        )
        assert [a["name"] for a in found["artifacts"]] == ["picture_50x50.webp", "picture_100x40.webp"]
        found = await it.done("file-processing", **fields(png, processingType="image_optimization", maxWidth=200))
        assert [a["name"] for a in found["artifacts"]] == ["picture_200.webp"]
        options = {"generateThumbnail": True, "optimizeImage": True, "scanForViruses": True}
        found = await it.done("file-processing", **fields(png, processingType="validation", options=options))
        assert (found["verdict"], len(found["artifacts"])) == ("clean", 2)
        pdf = await it.put("a.pdf", b"%PDF-1.4\n%%EOF\n")
        found = await it.done("file-processing", **fields(pdf, processingType="virus_scan", fileType="application/pdf"))
        assert (found["verdict"], found["media_type"]) == ("clean", "application/pdf")


async def test_an_infected_file_goes_to_quarantine(engine: str, clamd: str, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("invoice.txt", EICAR)
    async with studio(engine, tmp_path, "files", **settings(clamd)) as it:
        for name, content in (("a.txt", EICAR), ("a.zip", packed.getvalue())):
            key = await it.put(name, content)
            found = await it.done("file-processing", **fields(key, fileName=name, processingType="virus_scan"))
            assert found["verdict"] == "infected"
            assert found["signature"].startswith("Test.Eicar")
            assert not await it.storage.exists(key), "it is still where it was"
            assert found["quarantine"].startswith("quarantine/")
            assert await it.read(found["quarantine"]) == content


async def test_no_scanner_means_not_clean(tmp_path: Path) -> None:
    gone = settings(f"{tmp_path}/none.sock")
    async with studio(ENGINES[0], tmp_path, "files", **gone) as it:
        key = await it.put("a.png", photo(tmp_path / "a.png"))
        for task in ("virus_scan", "full"):
            ref = (
                await it.handlers["file-processing"].options(max_attempts=1).enqueue(**fields(key, processingType=task))
            )
            with pytest.raises(Exception, match="cannot be reached"):
                await ref.result(timeout=30)
    async with studio(ENGINES[0], tmp_path, "files", **settings()) as it:
        ref = await it.handlers["file-processing"].options(max_attempts=1).enqueue(**fields(key))
        with pytest.raises(Exception, match="no scanner is set up"):
            await ref.result(timeout=30)
        assert (await it.done("file-processing", **fields(key, processingType="validation")))["verdict"] == "unscanned"


async def test_what_is_refused(engine: str, clamd: str, tmp_path: Path) -> None:
    zeros = io.BytesIO()
    with zipfile.ZipFile(zeros, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(200 << 20))
    climbing = io.BytesIO()
    with zipfile.ZipFile(climbing, "w") as archive:
        archive.writestr("../../etc/passwd", "x")
    jpeg = photo(tmp_path / "a.jpg").read_bytes()
    files: dict[str, tuple[bytes | Path, dict[str, Any], str]] = {
        "bomb.png": (bomb(tmp_path / "bomb.png"), {}, "too large to decode"),
        "cut.jpg": (jpeg[:-2000], {}, "damaged"),
        "bomb.zip": (zeros.getvalue(), {}, "unpacks to more than"),
        "climbing.zip": (climbing.getvalue(), {}, "leads out of the archive"),
        "page.html": (b"<html><script>alert(1)</script></html>", {}, "text/html, which is not among"),
        "page.png": (b"<svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>", {}, "svg"),
        "program.png": (b"\x7fELF" + bytes(500), {}, "not among"),
        "empty.png": (b"", {}, "is empty"),
        "lie.jpg": (jpeg, {"fileType": "application/pdf"}, "is image/jpeg, not application/pdf"),
        "name.pdf": (jpeg, {"fileName": "name.pdf"}, "is called 'name.pdf'"),
        "sum.jpg": (jpeg, {"sha256": "0" * 64}, "SHA-256"),
        "thumb.txt": (b"plain text, no picture", {"processingType": "thumbnail"}, "is for pictures"),
        "size.jpg": (jpeg, {"fileSize": 999_999_999}, "the limit is"),
        "big.txt": (b"a" * 3_000_000, {}, "the limit is 2,000,000"),
    }
    async with studio(engine, tmp_path, "files", **settings(clamd, max_size=2_000_000)) as it:
        for name, (content, more, why) in files.items():
            key = await it.put(name, content)
            assert why in await it.refused("file-processing", **fields(key, **more)), name
        assert "no file" in await it.refused("file-processing", **fields(f"{prefix_of('default', 'ada')}none"))
        theirs = await it.put("theirs.jpg", jpeg, user="eve")
        assert "not a file of ada" in await it.refused("file-processing", **fields(theirs))
        for place in ("../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "a/../../b"):
            assert "KeyRefused" in await it.refused("file-processing", **fields(place)), place
        await refused_before(it, fileName="../../evil.png")
        await refused_before(it, fileName="a\\b.png")
        await refused_before(it, fileName="a\r\nb.png")
        await refused_before(it, processingType="format_conversion")
        await refused_before(it, processingType="explode")
        await refused_before(it, thumbnailSizes=[[0, 10]])
        await refused_before(it, maxWidth=100_000)
        await refused_before(it, unknownField=1)


async def refused_before(it: Studio, **more: Any) -> None:
    """Such a job is not even stored."""
    with pytest.raises(InvalidArgs):
        await it.handlers["file-processing"].enqueue(**fields("a.png", **more))


async def test_urls_are_fetched_with_care(clamd: str, tmp_path: Path) -> None:
    jpeg = photo(tmp_path / "a.jpg").read_bytes()
    async with web({"/a.jpg": jpeg, "/big.jpg": jpeg + bytes(2_000_000)}) as address:
        open_to = {"fetch": FetchSettings(allow_private=("127.0.0.0/8",)), **settings(clamd, max_size=2_000_000)}
        async with studio(ENGINES[0], tmp_path / "1", "files", **open_to) as it:
            found = await it.done("file-processing", **fields(f"{address}/a.jpg", processingType="thumbnail"))
            assert len(found["artifacts"]) == 1
            assert "the limit is 2,000,000" in await it.refused("file-processing", **fields(f"{address}/big.jpg"))
            assert "404" in await it.refused("file-processing", **fields(f"{address}/none.jpg"))
        async with studio(ENGINES[0], tmp_path / "2", "files", **settings(clamd)) as it:
            for place in (f"{address}/a.jpg", "http://localhost/a", "http://169.254.169.254/latest/meta-data"):
                assert "AddressRefused" in await it.refused("file-processing", **fields(place)), place


async def test_nothing_is_left_behind(clamd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    async with studio(ENGINES[0], tmp_path, "files", **settings(clamd)) as it:
        key = await it.put("a.png", photo(tmp_path / "a.png"))
        bad = await it.put("b.png", b"\x89PNG\r\n\x1a\nbroken")
        await asyncio.gather(it.done("file-processing", **fields(key)), it.refused("file-processing", **fields(bad)))
        assert not [each for each in place.iterdir() if each.name.startswith("windlass-") and "test" not in each.name]


def test_types_by_content(tmp_path: Path) -> None:
    file = tmp_path / "file"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<x/>")
    for content, expected in (
        (b"\xef\xbb\xbf<!DOCTYPE html><p>", "text/html"),
        (b"  <?xml version='1.0'?>\n<svg/>", "image/svg+xml"),
        (b'{"a": 1}', "application/json"),
        (b"a,b\n1,2\n", "text/csv"),
        ("grüße aus köln\n".encode(), "text/plain"),
        (b"<?php system('id');", "application/x-httpd-php"),
        (b"#!/bin/sh\n", "text/x-shellscript"),
        (packed.getvalue(), "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (bytes(range(256)), "application/octet-stream"),
        (b"", "application/octet-stream"),
    ):
        file.write_bytes(content)
        assert sniff(file) == expected, content[:20]
    assert name_fits("a.jpg", "image/png"), "pictures are saved under any picture's ending"
    assert name_fits("notes", "text/plain")
    assert not name_fits("a.jpg", "text/html")
    assert not name_fits("a.jpg", "image/svg+xml")
    assert not name_fits("invoice.pdf", "application/zip")
