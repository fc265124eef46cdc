"""Pictures of users: looked at, made smaller, converted, always in a confined process with a bound on pixels and memory."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from windlass.catalogue.confined import Limits, ProgramFailed, run, script
from windlass.catalogue.guards import MOST_PIXELS, FileRefused

Format: TypeAlias = Literal["jpeg", "png", "webp", "avif", "gif"]

MEDIA_TYPES: dict[str, str] = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "avif": "image/avif",
    "gif": "image/gif",
}
_CHILD = Path(__file__).with_name("images_child.py")
_MEMORY = 2 << 30
"""A picture of 50 million pixels with its copy takes 400 MB; encoders and libraries reserve the rest of the addresses."""
_LARGEST = 256 << 20


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A picture to make. `box`: it will be no larger, nor larger than the source; `cut`: it fills the box and loses its
    edges; `still`: the first picture of a moving one; `quality` 0: the format's usual."""

    path: Path
    format: Format
    box: tuple[int, int]
    cut: bool = False
    still: bool = False
    quality: int = 0


class Made(msgspec.Struct, frozen=True):
    """A picture that was made."""

    path: Path
    format: str
    width: int
    height: int
    bytes: int


class Picture(msgspec.Struct, frozen=True):
    """What a file holds, and what was made of it."""

    format: str
    width: int
    height: int
    frames: int
    made: tuple[Made, ...] = ()


async def process(
    source: Path, wanted: Sequence[Wanted] = (), *, most_pixels: int = MOST_PIXELS, timeout: float = 180.0
) -> Picture:
    """Decode a picture and make others of it; with nothing wanted, only check that it can be decoded. Raises `FileRefused`."""
    request = {"source": os.fspath(source), "most_pixels": most_pixels, "outputs": [_plain(each) for each in wanted]}
    limits = Limits(timeout=timeout, cpu=int(timeout), memory=_MEMORY, file=_LARGEST)
    done = await run(script(_CHILD), limits=limits, given=json.dumps(request).encode())
    if done.code < 0:
        raise FileRefused(f"the decoder of pictures died of it (signal {-done.code})", reason="corrupt")
    if done.code:
        raise ProgramFailed(
            f"the decoder of pictures failed: {done.said[-300:]}", program="images_child", exit=done.code
        )
    answer: dict[str, Any] = json.loads(done.out)
    if "refused" in answer:
        raise FileRefused(answer["refused"], reason=answer["reason"])
    made = [Made(each.path, each.format, **facts) for each, facts in zip(wanted, answer["made"], strict=True)]
    return Picture(**answer["about"], made=tuple(made))


def _plain(wanted: Wanted) -> dict[str, Any]:
    return {**msgspec.structs.asdict(wanted), "path": os.fspath(wanted.path)}
