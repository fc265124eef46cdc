"""Pictures: real ones made smaller and converted; bombs, damaged and foreign files refused, in a process of their own."""

import io
import os
import random
import struct
import zlib
from pathlib import Path

import pytest

from tests.catalogue.tools import need
from windlass.catalogue.guards import FileRefused
from windlass.catalogue.images import Wanted, process

need("PIL")
from PIL import Image, features  # noqa: E402


def photo(path: Path, size: tuple[int, int] = (1200, 800), **options: object) -> Path:
    made = Image.frombytes("RGB", (size[0] // 8, size[1] // 8), os.urandom(size[0] // 8 * (size[1] // 8) * 3))
    made.resize(size).save(path, **options)
    return path


def bomb(path: Path, side: int = 30_000) -> Path:
    """A PNG of 900 million black pixels in less than a megabyte."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + side // 8)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


async def test_optimised_converted_and_cut(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a maker nobody need know"
    exif[0x0112] = 6  # to be shown turned by a quarter
    source = photo(tmp_path / "a.jpg", quality=95, exif=exif)
    kinds = ["webp", "jpeg", "png", *(["avif"] if features.check("avif") else [])]
    wanted = [Wanted(path=tmp_path / f"o.{kind}", format=kind, box=(600, 600)) for kind in kinds]  # type: ignore[arg-type]
    thumb = Wanted(path=tmp_path / "t.webp", format="webp", box=(100, 100), cut=True, still=True)
    found = await process(source, [*wanted, thumb])
    assert (found.format, found.width, found.height, found.frames) == ("jpeg", 1200, 800, 1)
    for made in found.made[:-1]:
        with Image.open(made.path) as picture:
            assert (picture.format or "").lower() == made.format
            assert picture.size == (made.width, made.height) == (400, 600)
            assert not picture.getexif(), "the metadata came along"
        assert made.bytes == made.path.stat().st_size
        assert b"a maker nobody" not in made.path.read_bytes()
    assert (found.made[-1].width, found.made[-1].height) == (100, 100)
    assert found.made[0].bytes < source.stat().st_size / 2


async def test_small_ones_stay_small_and_holes_become_white(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    Image.new("RGBA", (40, 30), (255, 0, 0, 0)).save(source)
    found = await process(source, [Wanted(path=tmp_path / "o.jpg", format="jpeg", box=(600, 600))])
    assert (found.made[0].width, found.made[0].height) == (40, 30)
    with Image.open(tmp_path / "o.jpg") as picture:
        assert picture.getpixel((5, 5)) == (255, 255, 255)


async def test_moving_pictures_keep_moving(tmp_path: Path) -> None:
    source = tmp_path / "a.gif"
    shots = [Image.new("RGB", (80, 60), colour) for colour in ("red", "green", "blue")]
    shots[0].save(source, save_all=True, append_images=shots[1:], duration=[100, 200, 300], loop=0)
    still = Wanted(path=tmp_path / "still.png", format="png", box=(40, 40), still=True)
    found = await process(source, [Wanted(path=tmp_path / "o.webp", format="webp", box=(40, 40)), still])
    assert found.frames == 3
    with Image.open(tmp_path / "o.webp") as picture:
        assert (picture.n_frames, picture.size) == (3, (40, 30))
    with Image.open(tmp_path / "still.png") as picture:
        assert getattr(picture, "n_frames", 1) == 1


async def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match="too large to decode"):
        await process(bomb(tmp_path / "bomb.png"))
    with pytest.raises(FileRefused, match="too large to decode"):
        await process(photo(tmp_path / "a.jpg"), most_pixels=1000)
    whole = photo(tmp_path / "b.jpg").read_bytes()
    for name, content, why in (
        ("cut.jpg", whole[: len(whole) // 2], "damaged"),
        ("empty.jpg", b"", "no picture"),
        ("text.png", b"hello" * 100, "no picture"),
        ("script.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n", "no picture"),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture"),
    ):
        file = tmp_path / name
        file.write_bytes(content)
        with pytest.raises(FileRefused, match=why):
            await process(file)


async def test_many_frames_count_as_many_pixels(tmp_path: Path) -> None:
    source = tmp_path / "long.gif"
    shots = [Image.new("RGB", (100, 100), (4 * n, 0, 0)) for n in range(60)]
    shots[0].save(source, save_all=True, append_images=shots[1:])
    with pytest.raises(FileRefused, match="60 frame"):
        await process(source, most_pixels=500_000)


async def test_what_hides_in_a_picture_does_not_come_along(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    kept = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(kept, "JPEG", comment=b"<?php system($_GET['c']); ?>")
    file.write_bytes(kept.getvalue() + b"<?php trailing ?>")
    found = await process(file, [Wanted(path=tmp_path / "o.jpg", format="jpeg", box=(64, 64))])
    assert b"<?php" not in found.made[0].path.read_bytes()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
async def test_damaged_pictures_end_nothing_but_their_job(kind: str, tmp_path: Path) -> None:
    """Ten of each kind with bytes changed, lost or added: made smaller or refused, and never anything else."""
    chance = random.Random(kind)
    whole = io.BytesIO()
    Image.effect_noise((120, 90), 50).convert("RGB").save(whole, kind)
    refused = 0
    for number in range(10):
        content = bytearray(whole.getvalue())
        for _ in range(chance.choice((1, 3, 20))):
            at = chance.randrange(len(content))
            content[at : at + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        file = tmp_path / f"{number}"
        file.write_bytes(content)
        try:
            found = await process(file, [Wanted(path=tmp_path / "o.webp", format="webp", box=(64, 64))])
            assert found.made[0].bytes > 0
        except FileRefused:
            refused += 1
    assert refused, "the damage was too small to show anything"
