"""Transcripts as text: plain, JSON, SubRip, WebVTT; and the two subtitle formats read back."""

import re
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import msgspec

Format: TypeAlias = Literal["txt", "json", "srt", "vtt"]

MEDIA_TYPES: dict[Format, str] = {
    "txt": "text/plain; charset=utf-8",
    "json": "application/json",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
}

_TIMES = re.compile(r"((?:\d+:)?\d\d:\d\d[.,]\d\d\d)\s+-->\s+((?:\d+:)?\d\d:\d\d[.,]\d\d\d)")
_MARKS = re.compile(r"<[^>]*>|\{\\[^}]*\}")
_ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&nbsp;": " ", "&lrm;": "", "&rlm;": ""}
_LINE = 42
"""Characters of a subtitle's line that people read at a glance."""
_PAUSE = 2.0
"""Seconds of silence after which the plain text begins a new paragraph."""


class Segment(msgspec.Struct, frozen=True):
    """What was said from `start` to `end`, in seconds. `confidence`: 0..1, None where the engine does not tell."""

    start: float
    end: float
    text: str
    confidence: float | None = None


class Transcript(msgspec.Struct, frozen=True):
    """What was said."""

    language: str
    provider: str
    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        """All of it, with a new paragraph at each long pause."""
        paragraphs: list[list[str]] = []
        last = -_PAUSE
        for segment in self.segments:
            if segment.start - last >= _PAUSE or not paragraphs:
                paragraphs.append([])
            paragraphs[-1].append(" ".join(segment.text.split()))
            last = segment.end
        return "\n\n".join(" ".join(paragraph) for paragraph in paragraphs)


def written(transcript: Transcript, form: Format) -> str:
    """A transcript in one of the formats."""
    if form == "txt":
        return transcript.text + "\n"
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(transcript), indent=2).decode() + "\n"
    if form == "srt":
        blocks = (
            f"{number}\n{_time(segment.start, ',')} --> {_time(segment.end, ',')}\n{_lines(segment.text)}\n"
            for number, segment in enumerate(transcript.segments, 1)
        )
        return "\n".join(blocks)
    cues = (
        f"{_time(segment.start, '.')} --> {_time(segment.end, '.')}\n{_escaped(_lines(segment.text))}\n"
        for segment in transcript.segments
    )
    return "WEBVTT\n\n" + "\n".join(cues)


def read(text: str) -> list[Segment]:
    """The segments of SubRip or WebVTT text; what is neither gives none."""
    lines = text.lstrip("\ufeff").replace("\r\n", "\n").split("\n")
    found: list[Segment] = []
    at = 0
    while at < len(lines):
        times = _TIMES.search(lines[at])
        at += 1
        if times is None:
            continue
        said: list[str] = []
        while at < len(lines) and lines[at].strip() and not _TIMES.search(lines[at]):
            said.append(lines[at])
            at += 1
        plain = _plain(said)
        if plain:
            found.append(Segment(_seconds(times[1]), _seconds(times[2]), plain))
    return found


def _plain(lines: Iterable[str]) -> str:
    text = _MARKS.sub("", " ".join(lines))
    for entity, meaning in _ENTITIES.items():
        text = text.replace(entity, meaning)
    return " ".join(text.split())


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("-->", "--&gt;")


def _lines(text: str) -> str:
    """Broken into lines of about equal length; no empty line, which would end the subtitle."""
    words = text.replace("-->", "->").split()
    if not words:
        return ""
    length = sum(map(len, words)) + len(words) - 1
    width = length / max(1, -(-length // _LINE))
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(word) / 2 < width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)


def _time(seconds: float, point: str) -> str:
    millis = max(0, round(seconds * 1000))
    return f"{millis // 3_600_000:02}:{millis // 60_000 % 60:02}:{millis // 1000 % 60:02}{point}{millis % 1000:03}"


def _seconds(text: str) -> float:
    total = 0.0
    for part in text.replace(",", ".").split(":"):
        total = total * 60 + float(part)
    return round(total, 3)


def shifted(segments: Sequence[Segment], by: float) -> list[Segment]:
    """The same segments so many seconds later: those of a piece, in the whole."""
    return [Segment(each.start + by, each.end + by, each.text, each.confidence) for each in segments]
