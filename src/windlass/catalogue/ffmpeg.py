"""ffmpeg and ffprobe as confined programs: what a file holds, and one run with progress. Only local files of known containers."""

import asyncio
import json
import re
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from windlass import WindlassError
from windlass.catalogue.confined import Done, Limits, ProgramFailed, ProgramTooBig, run

MEBIBYTE = 1 << 20

_CONTAINERS = "mov,matroska,avi,mpegts,mpeg,flv,ogg,wav,mp3,flac,aac,aiff,asf,srt,webvtt,ass"
"""Containers that are read. Not among them: playlists and lists of files, which would make ffmpeg open what they name."""
_SAFE = ("-protocol_whitelist", "file", "-format_whitelist", _CONTAINERS)
JOINED = ("-f", "concat", "-safe", "1", "-format_whitelist", f"{_CONTAINERS},concat")
"""Options of an input that is a list of files which we wrote ourselves."""
_PASSING = re.compile(
    r"No space left on device|Cannot allocate memory|Input/output error|temporarily unavailable|Too many open files|"
    r"Immediate exit requested|received signal",
    re.IGNORECASE,
)
"""What is the machine's fault, and may be over the next time. All else that ffmpeg says of a file it says again."""
_MISSING = re.compile(r"Unknown (?:encoder|decoder)|Encoder .* not found|No such filter", re.IGNORECASE)
_OVERDRAWN = f"received signal {int(signal.SIGXCPU)}."
"""ffmpeg ends in good order at the limit of computing time."""
_REASON = 300


class BadMedia(WindlassError, ValueError):
    """The file is no audio or video that can be read, or not one that this job can use. It will be no better the next time."""

    code = "bad-media"
    retryable = False


class MissingEncoder(WindlassError):
    """This ffmpeg was built without what the job needs."""

    code = "missing-encoder"
    retryable = False


class Stream(msgspec.Struct, frozen=True, omit_defaults=True):
    """One stream of a file. `kind`: video, audio or subtitle. A picture that stands for the whole file is `cover`."""

    kind: str
    codec: str
    width: int = 0
    height: int = 0
    fps: float = 0.0
    rate: int = 0
    channels: int = 0
    language: str = ""
    cover: bool = False
    setup: str = ""
    """A hash of what a decoder must know first: streams of one codec are of one piece only if it is the same."""


class Probe(msgspec.Struct, frozen=True):
    """What ffprobe says of a file."""

    container: str
    duration: float
    size: int
    streams: tuple[Stream, ...]

    def first(self, kind: str) -> Stream | None:
        """The first stream of a kind that is no cover picture."""
        return next((stream for stream in self.streams if stream.kind == kind and not stream.cover), None)


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One run of ffmpeg. `sources`: the input files, each with the options that stand before it. `seconds`: how long the
    output will be, for the progress; `outputs`: options and file names of what is made; `level`: what it tells."""

    sources: Sequence[tuple[Sequence[str], Path]]
    outputs: Sequence[str]
    seconds: float = 0.0
    folder: Path
    limits: Limits
    level: str = "error"


def limits_for(seconds: float, *, room: int, least: float = 300.0, times: float = 4.0) -> Limits:
    """The limits for media of so many seconds: five minutes or four times its length, and one without progress."""
    timeout = max(least, times * seconds)
    return Limits(timeout=timeout, stall=60.0, cpu=int(timeout * 4), memory=6144 * MEBIBYTE, file=room, room=room * 2)


class Ffmpeg(msgspec.Struct, frozen=True):
    """The two programs by name or path."""

    ffmpeg: str = "ffmpeg"
    ffprobe: str = "ffprobe"

    async def probe(self, source: Path, timeout: float = 30.0) -> Probe:
        """What a file holds; raises `BadMedia`."""
        done = await run(
            [
                self.ffprobe,
                "-v",
                "error",
                *_SAFE,
                "-print_format",
                "json",
                "-show_format",
                "-show_streams",
                "-show_data_hash",
                "md5",
                source,
            ],
            limits=Limits(timeout=timeout, cpu=30, memory=2048 * MEBIBYTE),
        )
        if done.code:
            raise _fault("ffprobe", done)
        size = (await asyncio.to_thread(source.stat)).st_size
        try:
            return _probe(json.loads(done.out), size)
        except (ValueError, KeyError, TypeError) as error:
            raise BadMedia(f"ffprobe's answer about the file cannot be read: {error}") from error

    async def run(self, work: Work, heard: Callable[[float], object] = lambda share: None) -> Done:
        """Run ffmpeg; `heard` is told the share that is done, 0..1. Raises `BadMedia`, `MissingEncoder`, `ProgramFailed`."""
        command: list[str | Path] = [self.ffmpeg, "-nostdin", "-hide_banner", "-nostats", "-v", work.level, "-y"]
        command += ["-stats_period", "0.25", "-progress", "pipe:1"]
        for options, source in work.sources:
            command += [*_SAFE, *options, "-i", source]
        command += ["-map_metadata", "-1", "-threads", "2", *work.outputs]
        done = await run(command, limits=work.limits, folder=work.folder, on_line=_Progress(work.seconds, heard))
        if done.code:
            raise _fault("ffmpeg", done)
        return done


class _Progress:
    """Reads the lines of `-progress`. The program moves on when its time does."""

    def __init__(self, seconds: float, heard: Callable[[float], object]) -> None:
        self._seconds = seconds
        self._heard = heard
        self._latest = -1

    def __call__(self, line: str) -> bool:
        name, _, value = line.partition("=")
        if name != "out_time_us" or not value.lstrip("-").isdigit() or int(value) <= self._latest:
            return name == "progress" and value == "end"
        self._latest = int(value)
        if self._seconds > 0:
            self._heard(min(1.0, self._latest / 1e6 / self._seconds))
        return True


def _fault(program: str, done: Done) -> WindlassError:
    reason = " / ".join(line.strip() for line in done.said.splitlines()[-3:])[-_REASON:] or f"exit code {done.code}"
    if _OVERDRAWN in done.said:
        return ProgramTooBig(f"{program} computed for too long", program=program, exit=done.code, said=reason)
    if _MISSING.search(done.said):
        return MissingEncoder(f"{program} lacks what this needs (another build has it): {reason}")
    if done.code > 0 and not _PASSING.search(done.said):
        return BadMedia(f"{program} cannot read the file: {reason}")
    return ProgramFailed(f"{program} failed: {reason}", program=program, exit=done.code, said=reason)


def _probe(found: dict[str, Any], size: int) -> Probe:
    about = cast("dict[str, Any]", found.get("format", {}))
    streams = tuple(_stream(entry) for entry in found.get("streams", ()))
    durations = [about.get("duration"), *(entry.get("duration") for entry in found.get("streams", ()))]
    known = [float(text) for text in durations if text not in (None, "N/A")]
    return Probe(str(about.get("format_name", "")), known[0] if known else 0.0, size, streams)


def _stream(entry: dict[str, Any]) -> Stream:
    width, height = int(entry.get("width", 0)), int(entry.get("height", 0))
    if _turned(entry):
        width, height = height, width
    return Stream(
        kind=str(entry.get("codec_type", "")),
        codec=str(entry.get("codec_name", "")),
        width=width,
        height=height,
        fps=_ratio(str(entry.get("avg_frame_rate", "0/0"))),
        rate=int(entry.get("sample_rate", 0)),
        channels=int(entry.get("channels", 0)),
        language=str(entry.get("tags", {}).get("language", "")),
        setup=str(entry.get("extradata_hash", "")),
        cover=bool(entry.get("disposition", {}).get("attached_pic", 0)),
    )


def _turned(entry: dict[str, Any]) -> bool:
    """Whether players show the picture lying on its side, as telephones record it."""
    turns = [side.get("rotation", 0) for side in entry.get("side_data_list", ())]
    turns.append(entry.get("tags", {}).get("rotate", 0))
    return any(abs(int(float(turn))) % 180 == 90 for turn in turns)


def _ratio(text: str) -> float:
    above, _, below = text.partition("/")
    return round(float(above) / float(below), 3) if below and float(below) else 0.0
