"""The handler of `process-video`: a video is checked, made smaller in the forms asked for, and gets a poster."""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from windlass import Context
from windlass.catalogue.ffmpeg import BadMedia, Ffmpeg, Probe, Stream, Work, limits_for
from windlass.catalogue.files_kept import keep, recall
from windlass.catalogue.files_source import Owner, bring, folder_of, owner_for
from windlass.catalogue.inputs import Artifact, JobInput, Output, Part
from windlass.catalogue.installing import Kit, kit_of
from windlass.catalogue.storage import prefix_of

Form: TypeAlias = Literal["mp4_640", "mp4_720", "mp4_1080", "webm_640", "audio_mp3", "poster"]

_VERSION = 1
"""Part of the keys: raised when what is made of the same source becomes different."""
_WIDEST = 8192
_NAMES: dict[Form, str] = {
    "mp4_640": "640p.mp4",
    "mp4_720": "720p.mp4",
    "mp4_1080": "1080p.mp4",
    "webm_640": "640p.webm",
    "audio_mp3": "audio.mp3",
    "poster": "poster.jpg",
}


class VideoUser(Part):
    """Whose video it is, as the founding documents write it."""

    id: Annotated[str, Field(alias="_id", min_length=1, max_length=200)]
    email: Annotated[str, Field(max_length=320)] = ""


class VideoInput(JobInput):
    """A video of a user: `video_path` is a key of the storage, or a path inside its folder."""

    content_id: Annotated[str, Field(min_length=1, max_length=200)]
    video_path: Annotated[str, Field(min_length=1, max_length=4000)] | None = None
    video_url: Annotated[str, Field(pattern=r"^https?://", max_length=4000)] | None = None
    user: VideoUser | None = None
    outputs: Annotated[tuple[Form, ...], Field(min_length=1, max_length=6)] = ("mp4_640", "poster")
    loudness: Annotated[float, Field(ge=-40, le=-5)] | None = None
    """LUFS to which the sound is brought, such as -16; None leaves it."""
    poster_at: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Where in the video the poster is looked for, as a share of its length."""
    max_duration_s: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.video_path is None) == (self.video_url is None):
            raise ValueError("give one of videoPath and videoUrl")
        return self

    @property
    def owner_id(self) -> str | None:
        """Whose files it reads and writes."""
        return self.user.id if self.user is not None else self.user_id


class VideoFacts(Output):
    """What the source holds."""

    container: str
    duration: float
    bytes: int
    width: int
    height: int
    fps: float
    video: str
    audio: str | None


class VideoOutput(Output):
    """What was made. `reused`: all of it was there already, made of the same source in the same way."""

    content_id: str
    sha256: str
    source: VideoFacts
    artifacts: dict[str, Artifact]
    reused: bool = False


async def process_video(ctx: Context, given: VideoInput) -> VideoOutput:
    """Check a video and make of it what was asked for. The keys come from the content, so a repeated run changes nothing."""
    kit = kit_of(ctx)
    owner = owner_for(ctx, given.tenant, given.owner_id)
    folder = folder_of(ctx)
    ctx.progress(2, "fetching")
    place = given.video_path or given.video_url or ""
    media = kit.settings.media
    file = await bring(ctx, kit, place, "source", owner=owner, most=media.max_size)
    ctx.progress(8, "checking")
    tools = tools_of(kit)
    found = await tools.probe(file.path)
    picture = check_video(found, given.max_duration_s or media.max_seconds)
    where = _where(given, owner, file.sha256)
    known = await recall(kit, where, VideoOutput, lambda made: made.artifacts.values())
    if known is not None:
        ctx.progress(100, "already made")
        return known.model_copy(update={"content_id": given.content_id, "reused": True})
    forms: list[Form] = [form for form in given.outputs if form != "poster"]
    artifacts: dict[str, Artifact] = {}
    for number, form in enumerate(forms):
        start, width = 10 + 75 * number / len(forms), 75 / len(forms)
        path = folder / _NAMES[form]
        heard = telling(ctx, start, width, form)
        await _transcode(tools, given, form, file.path, path, found, kit.settings.storage.work_bytes, heard)
        await _check_made(tools, path, found, form)
        artifacts[form] = await kit.storage.put(f"{where}{path.name}", path)
    if "poster" in given.outputs:
        ctx.progress(88, "poster")
        path = await _poster(tools, given, file.path, found, folder)
        artifacts["poster"] = await kit.storage.put(f"{where}{path.name}", path)
    made = VideoOutput(
        content_id=given.content_id, sha256=file.sha256, source=_facts(found, picture), artifacts=artifacts
    )
    await keep(kit, where, made)
    ctx.progress(100, "done")
    return made


def tools_of(kit: Kit) -> Ffmpeg:
    """The programs that the settings name."""
    return Ffmpeg(kit.settings.media.ffmpeg or "ffmpeg", kit.settings.media.ffprobe or "ffprobe")


def check_video(found: Probe, longest: float) -> Stream:
    """The video stream; raises `BadMedia` for what is no video, or not one that is taken."""
    picture = found.first("video")
    if picture is None:
        raise BadMedia("the file holds no video")
    if found.duration <= 0:
        raise BadMedia("the video has no length that could be read")
    if found.duration > longest:
        raise BadMedia(f"the video is {found.duration:.0f} s long; the limit is {longest:.0f} s")
    if not 1 <= max(picture.width, picture.height) <= _WIDEST:
        raise BadMedia(f"the video is {picture.width} x {picture.height}; the limit is {_WIDEST}")
    return picture


def _where(given: VideoInput, owner: Owner, sha256: str) -> str:
    wish = f"{_VERSION} {sorted(given.outputs)} {given.loudness} {given.poster_at}"
    how = hashlib.sha256(wish.encode()).hexdigest()[:12]
    return f"{prefix_of(owner.tenant, owner.user)}video/{sha256[:32]}/{how}/"


def telling(ctx: Context, start: float, width: float, form: str) -> Callable[[float], object]:
    """Tells the job's progress while ffmpeg goes from nothing to all of a form."""

    def heard(share: float) -> object:
        return ctx.progress(start + width * share, form)

    return heard


async def _transcode(
    tools: Ffmpeg,
    given: VideoInput,
    form: Form,
    source: Path,
    path: Path,
    found: Probe,
    room: int,
    heard: Callable[[float], object],
) -> None:
    if form == "audio_mp3" and found.first("audio") is None:
        raise BadMedia("the video has no sound, so no audio_mp3 can be made of it")
    work = Work(
        sources=[((), source)],
        # A gap in broken timestamps would be filled with pictures for hours; headers may be wrong, but not by this much.
        outputs=[*arguments(form, loudness=given.loudness), "-t", f"{2 * found.duration + 60:.3f}", path.name],
        seconds=found.duration,
        folder=path.parent,
        limits=limits_for(found.duration, room=room),
    )
    await tools.run(work, heard)


def arguments(form: Form, *, loudness: float | None = None) -> list[str]:
    """ffmpeg's options for a form. Pictures are never made larger; `p` counts the shorter side."""
    sound = [] if loudness is None else ["-af", f"loudnorm=I={loudness:g}:TP=-1.5:LRA=11"]
    if form == "audio_mp3":
        return ["-map", "0:a:0", "-vn", *sound, "-ar", "44100", "-c:a", "libmp3lame", "-b:a", "128k"]
    side = form.rpartition("_")[2]
    short = f"min({side}\\,trunc(min(iw\\,ih)/2)*2)"
    scale = f"scale=w='if(gte(iw,ih),-2,{short})':h='if(gte(iw,ih),{short},-2)',format=yuv420p,setsar=1"
    picture = ["-map", "0:v:0", "-map", "0:a:0?", "-sn", "-dn", "-vf", scale]
    if form.startswith("webm"):
        video = [
            "-c:v",
            "libvpx-vp9",
            "-deadline",
            "realtime",
            "-cpu-used",
            "8",
            "-row-mt",
            "1",
            "-crf",
            "34",
            "-b:v",
            "0",
        ]
        return [*picture, *sound, *video, "-c:a", "libopus", "-b:a", "96k", "-ar", "48000"]
    video = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-movflags", "+faststart"]
    return [*picture, *sound, *video, "-c:a", "aac", "-b:a", "128k", "-ar", "44100"]


async def _check_made(tools: Ffmpeg, path: Path, source: Probe, form: str) -> None:
    """ffmpeg may end well after half of a broken file; then the rest is missing."""
    made = await tools.probe(path)
    if made.duration < 0.9 * source.duration - 1:
        raise BadMedia(f"only {made.duration:.1f} of {source.duration:.1f} s could be read for {form}")


async def _poster(tools: Ffmpeg, given: VideoInput, source: Path, found: Probe, folder: Path) -> Path:
    """The most typical picture of a stretch, which is seldom black."""
    path = folder / _NAMES["poster"]
    at = max(0.0, min(found.duration * given.poster_at, found.duration - 0.5))
    scale = "scale=w='min(1280,iw)':h=-2,setsar=1"
    work = Work(
        sources=[(("-ss", f"{at:.3f}"), source)],
        outputs=["-map", "0:v:0", "-vf", f"thumbnail=25,{scale}", "-frames:v", "1", "-q:v", "3", path.name],
        folder=folder,
        limits=limits_for(0, room=64 << 20),
    )
    await tools.run(work)
    if not await asyncio.to_thread(path.exists):
        raise BadMedia("no picture of the video could be decoded")
    return path


def _facts(found: Probe, picture: Stream) -> VideoFacts:
    sound = found.first("audio")
    return VideoFacts(
        container=found.container,
        duration=round(found.duration, 3),
        bytes=found.size,
        width=picture.width,
        height=picture.height,
        fps=picture.fps,
        video=picture.codec,
        audio=None if sound is None else sound.codec,
    )
