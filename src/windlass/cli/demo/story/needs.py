"""What the story needs on this machine, and how to install what is missing."""

import tempfile
from pathlib import Path

from windlass.demo.place import Place

_MODULES = (
    "aiosmtpd",
    "aiosmtplib",
    "httpx2",
    "jinja2",
    "obstore",
    "PIL",
    "pocketsphinx",
    "puremagic",
    "pydantic",
    "pydantic_settings",
    "typst",
)
_PACKAGES = {"ffmpeg": "ffmpeg", "ffprobe": "ffmpeg", "espeak-ng": "espeak-ng"}


def find_programs() -> Place | str:
    """A place whose programs are here, without a folder yet; else what is missing and how to install it."""
    from windlass.catalogue.readiness import find_binary, has_module

    modules = [name for name in _MODULES if not has_module(name)]
    named: dict[str, str] = {}
    clamd = ""
    if "pydantic_settings" not in modules and "pydantic" not in modules:
        from windlass.catalogue.settings import load

        settings = load()
        media, clamd = settings.media, settings.files.clamd
        named = {"ffmpeg": media.ffmpeg, "ffprobe": media.ffprobe, "espeak-ng": media.espeak}
    found = {name: find_binary(name, named.get(name, "")) for name in _PACKAGES}
    programs = [name for name, path in found.items() if path is None]
    if modules or programs:
        return _mend(programs, modules)
    return Place(
        folder=Path(),
        clamd=clamd,
        ffmpeg=found["ffmpeg"] or "",
        ffprobe=found["ffprobe"] or "",
        espeak=found["espeak-ng"] or "",
    )


def make_folder() -> Path:
    """A folder for one story, which stays."""
    return Path(tempfile.mkdtemp(prefix="windlass-demo-"))


def _mend(programs: list[str], modules: list[str]) -> str:
    packages = dict.fromkeys(_PACKAGES[name] for name in programs)
    ways = [f"apt-get install {' '.join(packages)}"] if programs else []
    ways += ["pip install 'windlass[demo]'"] if modules else []
    return f"{', '.join([*programs, *modules])} not found ({'; '.join(ways)})"
