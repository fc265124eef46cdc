"""The handler of `generate-transcript`: subtitles that are inside, else what a provider hears; as text, JSON, SubRip, WebVTT."""

import asyncio
import hashlib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from windlass import Context
from windlass.catalogue.ffmpeg import BadMedia, Ffmpeg, Probe, Work, limits_for
from windlass.catalogue.files_kept import keep, recall
from windlass.catalogue.files_source import bring, folder_of, owner_for
from windlass.catalogue.inputs import Artifact, JobInput, Output
from windlass.catalogue.installing import kit_of
from windlass.catalogue.storage import prefix_of
from windlass.catalogue.subtitles import MEDIA_TYPES, Format, Transcript, read, written
from windlass.catalogue.transcripts_engines import Ear, Hearing
from windlass.catalogue.video import telling, tools_of

Phrase = Annotated[str, Field(min_length=1, max_length=500)]

_VERSION = 1
_PICTURES = {"dvd_subtitle", "hdmv_pgs_subtitle", "dvb_subtitle", "xsub"}
"""Subtitles that are pictures: they would have to be read by looking at them."""
_LONGEST_TEXT = 20_000
"""Characters of the text that the result itself carries; the files hold all of it."""


class TranscriptInput(JobInput):
    """A video or sound: `media_key` or `video_path` in the storage, or `video_url`."""

    content_id: Annotated[str, Field(min_length=1, max_length=200)]
    video_url: Annotated[str, Field(pattern=r"^https?://", max_length=4000)] | None = None
    video_path: Annotated[str, Field(min_length=1, max_length=4000)] | None = None
    media_key: Annotated[str, Field(min_length=1, max_length=4000)] | None = None
    language: Annotated[str, Field(max_length=20, pattern=r"^[A-Za-z]{0,3}(-[A-Za-z0-9]{1,8})*$")] = "en"
    formats: Annotated[tuple[Format, ...], Field(min_length=1, max_length=4)] = ("txt", "json", "srt", "vtt")
    vocabulary: Annotated[list[Phrase], Field(max_length=1000)] = Field(default_factory=list[str])
    grammar: Annotated[list[Phrase], Field(max_length=200)] = Field(default_factory=list[str])
    provider: Literal["", "embedded", "openai", "faster-whisper", "pocketsphinx"] = ""
    skip_cache: bool = False

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if sum(place is not None for place in (self.video_url, self.video_path, self.media_key)) != 1:
            raise ValueError("give one of videoUrl, videoPath and mediaKey")
        return self

    @property
    def place(self) -> str:
        """Where the media is."""
        return self.video_url or self.video_path or self.media_key or ""


class TranscriptOutput(Output):
    """What was said. `text` is cut off after 20,000 characters; `words` counts all of them."""

    content_id: str
    language: str
    provider: str
    duration: float
    segments: int
    words: int
    text: str
    artifacts: dict[str, Artifact]
    cost: float = 0.0
    reused: bool = False


async def transcribe(ctx: Context, given: TranscriptInput) -> TranscriptOutput:
    """Write down what is said. The keys come from the content and the wishes: a repeated run is not paid for again."""
    kit = kit_of(ctx)
    tools = tools_of(kit)
    folder = folder_of(ctx)
    media = kit.settings.media
    owner = owner_for(ctx, given.tenant, given.user_id)
    ctx.progress(2, "fetching")
    file = await bring(ctx, kit, given.place, "source", owner=owner, most=media.max_size)
    ctx.progress(8, "checking")
    found = await tools.probe(file.path)
    if found.duration > media.max_seconds:
        raise BadMedia(f"the media is {found.duration:.0f} s long; the limit is {media.max_seconds:.0f} s")
    transcript = None
    if given.provider in ("", "embedded"):
        transcript = await embedded(tools, file.path, found, given.language, folder)
        if transcript is None and given.provider == "embedded":
            raise BadMedia("the file holds no subtitles in text form")
    chain = kit.part(Ear).chain(given.provider, given.language) if transcript is None else None
    first = "embedded" if chain is None else chain.providers[0].name
    where = f"{prefix_of(owner.tenant, owner.user)}transcripts/{file.sha256[:32]}/{_identity(given)}/"
    known = await recall(kit, where, TranscriptOutput, lambda made: made.artifacts.values())
    if known is not None and not given.skip_cache and known.provider == first:
        ctx.progress(100, "written before")
        return known.model_copy(update={"content_id": given.content_id, "reused": True, "cost": 0.0})
    if transcript is None and chain is not None:
        hearing = await _heard(tools, given, file.path, found, folder)
        answer = await chain.call(kit.part(Ear).write, hearing, telling(ctx, 20, 70, "listening"))
        transcript = answer.transcript
    assert transcript is not None
    ctx.progress(95, "writing")
    artifacts: dict[str, Artifact] = {}
    for form in given.formats:
        text = written(transcript, form).encode()
        artifacts[form] = await kit.storage.put(f"{where}transcript.{form}", text, media_type=MEDIA_TYPES[form])
    made = _output(given, transcript, artifacts, found.duration, ctx.spent)
    await keep(kit, where, made)
    ctx.progress(100, transcript.provider)
    return made


async def embedded(tools: Ffmpeg, source: Path, found: Probe, language: str, folder: Path) -> Transcript | None:
    """The subtitles inside, in the language asked for if there are several; exact and free."""
    streams = [stream for stream in found.streams if stream.kind == "subtitle"]
    texts = [(n, stream) for n, stream in enumerate(streams) if stream.codec not in _PICTURES]
    if not texts:
        return None
    fitting = [(n, stream) for n, stream in texts if _same_language(stream.language, language)]
    strangers = [(n, stream) for n, stream in texts if stream.language in ("", "und")]
    chosen = next(iter([*fitting, *strangers]), None)
    if chosen is None:
        return None
    path = folder / "inside.vtt"
    work = Work(
        sources=[((), source)],
        outputs=["-map", f"0:s:{chosen[0]}", "-f", "webvtt", path.name],
        folder=folder,
        limits=limits_for(found.duration, room=64 << 20),
    )
    await tools.run(work)
    segments = read(await asyncio.to_thread(path.read_text, encoding="utf-8", errors="replace"))
    return Transcript(language, "embedded", tuple(segments)) if segments else None


_CODES = {
    "en": "eng",
    "de": "ger deu",
    "fr": "fre fra",
    "es": "spa",
    "it": "ita",
    "pt": "por",
    "nl": "dut nld",
    "ru": "rus",
}


def _same_language(told: str, wanted: str) -> bool:
    short, told = wanted.partition("-")[0].lower(), told.lower()
    return bool(short) and (told[:2] == short if len(told) == 2 else told in _CODES.get(short, short).split())


async def _heard(tools: Ffmpeg, given: TranscriptInput, source: Path, found: Probe, folder: Path) -> Hearing:
    """The sound as recognisers take it."""
    if found.first("audio") is None:
        raise BadMedia("the file holds no sound")
    path = folder / "sound.wav"
    work = Work(
        sources=[((), source)],
        outputs=["-map", "0:a:0", "-vn", "-ac", "1", "-ar", "16000", "-c:a", "pcm_s16le", path.name],
        seconds=found.duration,
        folder=folder,
        limits=limits_for(found.duration, room=1 << 30),
    )
    await tools.run(work)
    seconds = (await tools.probe(path)).duration
    return Hearing(path, seconds, folder, given.language, tuple(given.vocabulary), tuple(given.grammar))


def _identity(given: TranscriptInput) -> str:
    wish = f"{_VERSION} {given.language} {given.provider} {given.vocabulary} {given.grammar} {sorted(given.formats)}"
    return hashlib.sha256(wish.encode()).hexdigest()[:12]


def _output(
    given: TranscriptInput, transcript: Transcript, artifacts: dict[str, Artifact], seconds: float, cost: float
) -> TranscriptOutput:
    text = transcript.text
    return TranscriptOutput(
        content_id=given.content_id,
        language=transcript.language,
        provider=transcript.provider,
        duration=round(seconds, 3),
        segments=len(transcript.segments),
        words=len(text.split()),
        text=text[:_LONGEST_TEXT],
        artifacts=artifacts,
        cost=round(cost, 6),
    )
