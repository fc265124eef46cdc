"""The handler of `video-composition`: scenes one after another, with a sound track and subtitles, in a format and quality."""

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypeAlias

from pydantic import Field

from windlass import Context
from windlass.catalogue import subtitles
from windlass.catalogue.ffmpeg import JOINED, BadMedia, Ffmpeg, Probe, Work, limits_for
from windlass.catalogue.files_kept import keep, recall
from windlass.catalogue.files_source import Owner, bring, folder_of, owner_for
from windlass.catalogue.inputs import Artifact, JobInput, Output
from windlass.catalogue.installing import Kit, kit_of
from windlass.catalogue.storage import prefix_of
from windlass.catalogue.video import check_video, telling, tools_of

Place = Annotated[str, Field(min_length=1, max_length=4000)]
Resolution: TypeAlias = Literal["640p", "720p", "1080p"]
_Command: TypeAlias = tuple[list[tuple[Sequence[str], Path]], list[str]]

_VERSION = 1
_HEIGHTS: dict[Resolution, int] = {"640p": 640, "720p": 720, "1080p": 1080}
_QUALITY = {
    ("mp4", "draft"): ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "28", "-movflags", "+faststart"),
    ("mp4", "high"): ("-c:v", "libx264", "-preset", "medium", "-crf", "19", "-movflags", "+faststart"),
    ("webm", "draft"): ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-crf", "38", "-b:v", "0"),
    ("webm", "high"): ("-c:v", "libvpx-vp9", "-deadline", "good", "-cpu-used", "3", "-crf", "28", "-b:v", "0"),
}
_SOUND = {"mp4": ("-c:a", "aac", "-b:a", "160k"), "webm": ("-c:a", "libopus", "-b:a", "128k")}
_TEXT = {"mp4": "mov_text", "webm": "webvtt"}
_FADE = 0.4
_RATE = 48_000
_TOLERANCE = 0.2
"""Seconds by which the whole may differ from its scenes, besides two pictures for each of them."""
_LARGEST_TEXT = 4 << 20


class CompositionInput(JobInput):
    """Scenes in their order: keys of the storage or URLs. `audio_track` takes the place of their sound, or is mixed with it."""

    project_id: Annotated[str, Field(min_length=1, max_length=200)]
    scenes: Annotated[list[Place], Field(min_length=1, max_length=50)]
    audio_track: Place | None = None
    audio_mode: Literal["replace", "mix"] = "replace"
    subtitles: Place | None = None
    format: Literal["mp4", "webm"] = "mp4"
    quality: Literal["draft", "high"] = "high"
    resolution: Resolution | None = None
    transitions: Literal["none", "fade"] = "none"


class CompositionOutput(Output):
    """The whole. `copied`: the scenes fitted each other as they were, so nothing was encoded anew."""

    project_id: str
    scenes: int
    duration: float
    width: int
    height: int
    artifact: Artifact
    copied: bool = False
    reused: bool = False


class Scene(NamedTuple):
    """A scene that is here."""

    path: Path
    probe: Probe


class _Parts(NamedTuple):
    scenes: list[Scene]
    track: Path | None
    text: Path | None
    identity: str

    @property
    def seconds(self) -> float:
        return sum(scene.probe.duration for scene in self.scenes)


async def compose_video(ctx: Context, given: CompositionInput) -> CompositionOutput:
    """Put scenes together. The key comes from the scenes' contents and the wishes, so a repeated run changes nothing."""
    kit = kit_of(ctx)
    tools = tools_of(kit)
    folder = folder_of(ctx)
    owner = owner_for(ctx, given.tenant, given.user_id)
    parts = await _gather(ctx, kit, owner, given, folder)
    where = f"{prefix_of(owner.tenant, owner.user)}composition/{_identity(given, parts.identity)}/"
    known = await recall(kit, where, CompositionOutput, lambda made: [made.artifact])
    if known is not None:
        ctx.progress(100, "already made")
        return known.model_copy(update={"project_id": given.project_id, "reused": True})
    path = folder / f"final.{given.format}"
    width, height = _size(given, parts.scenes)
    copied = _fit_together(given, parts.scenes, (width, height))
    sources, outputs = _copying(given, parts, path) if copied else _encoding(given, parts, path, width, height)
    limits = limits_for(parts.seconds, room=kit.settings.storage.work_bytes)
    work = Work(sources=sources, outputs=outputs, seconds=parts.seconds, folder=folder, limits=limits)
    await tools.run(work, telling(ctx, 30, 60, "composing"))
    made = await _check(tools, path, parts)
    ctx.progress(92, "storing")
    picture = made.first("video")
    assert picture is not None
    output = CompositionOutput(
        project_id=given.project_id,
        scenes=len(parts.scenes),
        duration=round(made.duration, 3),
        width=picture.width,
        height=picture.height,
        artifact=await kit.storage.put(f"{where}{path.name}", path),
        copied=copied,
    )
    await keep(kit, where, output)
    return output


async def _gather(ctx: Context, kit: Kit, owner: Owner, given: CompositionInput, folder: Path) -> _Parts:
    media = kit.settings.media
    tools = tools_of(kit)
    scenes: list[Scene] = []
    seen = hashlib.sha256()
    for number, place in enumerate(given.scenes):
        ctx.progress(25 * number / len(given.scenes), f"scene {number + 1}")
        file = await bring(ctx, kit, place, f"scene{number}", owner=owner, most=media.max_size)
        probe = await tools.probe(file.path)
        try:
            check_video(probe, media.max_seconds)
        except BadMedia as error:
            raise BadMedia(f"scene {number + 1}: {error.message}") from error
        scenes.append(Scene(file.path, probe))
        seen.update(file.sha256.encode())
    if sum(scene.probe.duration for scene in scenes) > media.max_seconds:
        raise BadMedia(f"the scenes together are longer than {media.max_seconds:.0f} s")
    track = text = None
    if given.audio_track is not None:
        file = await bring(ctx, kit, given.audio_track, "track", owner=owner, most=media.max_size)
        if (await tools.probe(file.path)).first("audio") is None:
            raise BadMedia("the audio track holds no sound")
        track = file.path
        seen.update(b"track" + file.sha256.encode())
    if given.subtitles is not None:
        file = await bring(ctx, kit, given.subtitles, "text", owner=owner, most=_LARGEST_TEXT)
        text = await asyncio.to_thread(_plain_subtitles, file.path)
        seen.update(b"text" + file.sha256.encode())
    return _Parts(scenes, track, text, seen.hexdigest())


def _plain_subtitles(path: Path) -> Path:
    """Read and written by us: what a subtitle parser in C gets to see is harmless then."""
    found = subtitles.read(path.read_text(encoding="utf-8", errors="replace"))
    if not found:
        raise BadMedia("the subtitles are neither SubRip nor WebVTT")
    plain = path.with_suffix(".srt")
    plain.write_text(subtitles.written(subtitles.Transcript("", "", tuple(found)), "srt"), encoding="utf-8")
    return plain


def _identity(given: CompositionInput, contents: str) -> str:
    wish = f"{_VERSION} {contents} {given.audio_mode} {given.format} {given.quality} {given.resolution} {given.transitions}"
    return hashlib.sha256(wish.encode()).hexdigest()[:32]


def _size(given: CompositionInput, scenes: Sequence[Scene]) -> tuple[int, int]:
    """That of the first scene, or of its shape in the resolution asked for; even, as encoders need it."""
    picture = scenes[0].probe.first("video")
    assert picture is not None
    width, height = picture.width, picture.height
    if given.resolution is not None:
        scale = _HEIGHTS[given.resolution] / min(width, height)
        width, height = round(width * scale), round(height * scale)
    return max(2, width // 2 * 2), max(2, height // 2 * 2)


def _fit_together(given: CompositionInput, scenes: Sequence[Scene], size: tuple[int, int]) -> bool:
    """Whether the scenes' streams can be joined as they are."""
    if given.format != "mp4" or given.transitions != "none" or given.audio_track is not None:
        return False
    looks = {
        tuple((s.kind, s.codec, s.width, s.height, s.fps, s.rate, s.channels, s.setup) for s in scene.probe.streams)
        for scene in scenes
    }
    if len(looks) != 1:
        return False
    picture, sound = scenes[0].probe.first("video"), scenes[0].probe.first("audio")
    is_plain = len(scenes[0].probe.streams) == (1 if sound is None else 2)
    is_known = picture is not None and picture.codec == "h264" and (sound is None or sound.codec == "aac")
    return is_plain and is_known and picture is not None and (picture.width, picture.height) == size


def _copying(given: CompositionInput, parts: _Parts, path: Path) -> _Command:
    listed = path.with_name("scenes.txt")
    listed.write_text("ffconcat version 1.0\n" + "".join(f"file {scene.path.name}\n" for scene in parts.scenes))
    sources: list[tuple[Sequence[str], Path]] = [(JOINED, listed)]
    outputs = ["-map", "0:v:0", "-map", "0:a:0?", "-c", "copy", "-movflags", "+faststart"]
    if parts.text is not None:
        sources.append(((), parts.text))
        outputs += ["-map", "1:s:0", "-c:s", _TEXT[given.format]]
    return sources, [*outputs, path.name]


def _encoding(given: CompositionInput, parts: _Parts, path: Path, width: int, height: int) -> _Command:
    sources: list[tuple[Sequence[str], Path]] = [((), scene.path) for scene in parts.scenes]
    graph = [*_pictures(given, parts.scenes, width, height), *_sounds(given, parts.scenes)]
    joints = "".join(f"[v{n}][a{n}]" for n in range(len(parts.scenes)))
    graph.append(f"{joints}concat=n={len(parts.scenes)}:v=1:a=1[v][said]")
    if parts.track is None:
        sound = "[said]"
    else:
        track = f"[{len(sources)}:a:0]aresample={_RATE},aformat=channel_layouts=stereo"
        sources.append(((), parts.track))
        graph.append(f"{track},apad,atrim=duration={parts.seconds:.3f}[track]")
        sound = "[track]"
        if given.audio_mode == "mix":
            graph.append("[said][track]amix=inputs=2:duration=first:normalize=0,alimiter=limit=0.95[mixed]")
            sound = "[mixed]"
        else:
            graph.append("[said]anullsink")
    outputs = ["-filter_complex", ";".join(graph), "-map", "[v]", "-map", sound]
    if parts.text is not None:
        outputs += ["-map", f"{len(sources)}:s:0", "-c:s", _TEXT[given.format]]
        sources.append(((), parts.text))
    outputs += [*_QUALITY[given.format, given.quality], *_SOUND[given.format], "-t", f"{parts.seconds:.3f}", path.name]
    return sources, outputs


def _pictures(given: CompositionInput, scenes: Sequence[Scene], width: int, height: int) -> list[str]:
    """Every scene in one size and rate, with bars where its shape differs."""
    first = scenes[0].probe.first("video")
    fps = min(60.0, first.fps if first is not None and first.fps > 0 else 25.0)
    found: list[str] = []
    for n, scene in enumerate(scenes):
        seconds = scene.probe.duration
        fit = f"scale={width}:{height}:force_original_aspect_ratio=decrease,pad={width}:{height}:-1:-1,setsar=1"
        fade = ""
        if given.transitions == "fade" and seconds > 4 * _FADE:
            fade = f",fade=t=in:d={_FADE},fade=t=out:st={seconds - _FADE:.3f}:d={_FADE}"
        found.append(f"[{n}:v:0]{fit},fps={fps:g},format=yuv420p{fade}[v{n}]")
    return found


def _sounds(given: CompositionInput, scenes: Sequence[Scene]) -> list[str]:
    """The sound of every scene, as long as its pictures; silence for those without."""
    found: list[str] = []
    for n, scene in enumerate(scenes):
        seconds = scene.probe.duration
        form = f"aresample={_RATE},aformat=channel_layouts=stereo,apad,atrim=duration={seconds:.3f}"
        if scene.probe.first("audio") is None:
            found.append(f"anullsrc=r={_RATE}:cl=stereo,atrim=duration={seconds:.3f}[a{n}]")
            continue
        fade = ""
        if given.transitions == "fade" and seconds > 4 * _FADE:
            fade = f",afade=t=in:d={_FADE},afade=t=out:st={seconds - _FADE:.3f}:d={_FADE}"
        found.append(f"[{n}:a:0]{form}{fade}[a{n}]")
    return found


async def _check(tools: Ffmpeg, path: Path, parts: _Parts) -> Probe:
    made = await tools.probe(path)
    fps = max(1.0, getattr(made.first("video"), "fps", 25.0))
    allowed = _TOLERANCE + 2 * len(parts.scenes) / fps
    if made.first("video") is None or abs(made.duration - parts.seconds) > allowed:
        raise BadMedia(
            f"the scenes have {parts.seconds:.2f} s, and {made.duration:.2f} s came out: one of them is broken"
        )
    return made
