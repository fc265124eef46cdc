"""Decodes and encodes pictures for `images`: run by path in a confined process, so a hostile file can only end this one.

Reads one JSON request from its input, writes one JSON answer. A refusal is an answer: `{"refused": text, "reason": word}`.
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError, features

_READ = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF", "ICO")
"""Not among them: formats that run another program (EPS) or that have nothing to do with pictures of users."""
_SAVE: dict[str, dict[str, Any]] = {
    "jpeg": {"format": "JPEG", "quality": 82, "optimize": True, "progressive": True},
    "png": {"format": "PNG", "optimize": True},
    "webp": {"format": "WEBP", "quality": 80, "method": 4},
    "avif": {"format": "AVIF", "quality": 60, "speed": 7, "max_threads": 2},
    "gif": {"format": "GIF", "optimize": True},
}
_MOVING = {"webp", "gif", "avif", "png"}
_CLEAR = {"png", "webp", "avif", "gif"}
_LONGEST_PROFILE = 1 << 20


class RefusedError(Exception):
    """What is asked for cannot be done here; the text says why."""


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do what a request asks. `outputs`: each a format, a box, a path, whether to cut to the box, a quality."""
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    Image.MAX_IMAGE_PIXELS = request["most_pixels"]
    absent = {name.upper() for name in ("webp", "avif") if not features.check(name)}  # as Debian builds it, for one
    for wanted in request["outputs"]:
        if wanted["format"].upper() in absent:
            raise RefusedError(f"this Pillow was built without {wanted['format']}")
    with Image.open(request["source"], formats=[name for name in _READ if name not in absent]) as picture:
        kind = (picture.format or "").lower().replace("mpo", "jpeg")
        frames = 1 if kind == "jpeg" else getattr(picture, "n_frames", 1)  # an MPO holds several sizes or eyes
        about = {"format": kind, "width": picture.width, "height": picture.height, "frames": frames}
        if picture.width * picture.height * frames > request["most_pixels"]:
            raise Image.DecompressionBombError(
                f"{picture.width} x {picture.height} pixels, {frames} frame(s), is over the limit of {request['most_pixels']}"
            )
        if not request["outputs"]:
            picture.load()
        elif kind == "jpeg":  # decodes at an eighth, a quarter or half, when that is still large enough
            largest = max(max(wanted["box"]) for wanted in request["outputs"])
            picture.draft("RGB", (largest, largest))
        made = [_make(picture, wanted, frames) for wanted in request["outputs"]]
    return {"about": about, "made": made}


def _make(picture: Image.Image, wanted: dict[str, Any], frames: int) -> dict[str, Any]:
    kind, box = wanted["format"], tuple(wanted["box"])
    moving = frames > 1 and kind in _MOVING and not wanted["still"]
    if not moving:
        picture.seek(0)
        shots = [_fit(picture, kind, box, cut=wanted["cut"])]
        options: dict[str, Any] = {}
    else:
        times = [int(frame.info.get("duration", 100)) for frame in ImageSequence.Iterator(picture)]
        shots = [_fit(frame, kind, box, cut=False) for frame in ImageSequence.Iterator(picture)]
        options = {"save_all": True, "append_images": shots[1:], "duration": times, "loop": picture.info.get("loop", 0)}
    options |= _SAVE[kind]
    if wanted["quality"] and "quality" in options:
        options["quality"] = wanted["quality"]
    profile = picture.info.get("icc_profile")
    if profile and len(profile) < _LONGEST_PROFILE and kind != "gif":
        options["icc_profile"] = profile  # colours need it; nothing else of the metadata is written
    shots[0].info.clear()
    shots[0].save(wanted["path"], **options)
    return {"width": shots[0].width, "height": shots[0].height, "bytes": Path(wanted["path"]).stat().st_size}


def _fit(picture: Image.Image, kind: str, box: tuple[int, int], *, cut: bool) -> Image.Image:
    """A copy the right way up, no larger than the box, in colours that the format has."""
    shot = ImageOps.exif_transpose(picture)
    has_holes = shot.mode in ("RGBA", "LA", "PA") or "transparency" in shot.info
    shot = shot.convert("RGBA" if has_holes else "RGB")
    if cut:
        shot = ImageOps.fit(shot, (min(box[0], shot.width), min(box[1], shot.height)), Image.Resampling.LANCZOS)
    elif shot.width > box[0] or shot.height > box[1]:
        shot.thumbnail(box, Image.Resampling.LANCZOS, reducing_gap=2.0)
    if has_holes and kind not in _CLEAR:
        ground = Image.new("RGB", shot.size, "white")
        ground.paste(shot, mask=shot.getchannel("A"))
        shot = ground
    return shot


def main() -> None:
    """Answer the request on standard input."""
    request = json.load(sys.stdin)
    try:
        found = answer(request)
    except RefusedError as error:
        found = {"refused": str(error), "reason": "unsupported"}
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        found = {"refused": f"the picture is too large to decode: {error}", "reason": "pixels"}
    except UnidentifiedImageError:
        found = {"refused": "it is no picture of a known format", "reason": "corrupt"}
    except MemoryError:
        found = {"refused": "the picture needs more memory than a decoder may have", "reason": "pixels"}
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the disk, not of the picture
            raise
        found = {"refused": f"the picture is damaged: {error}", "reason": "corrupt"}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
