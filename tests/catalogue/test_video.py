"""`process-video` and `video-composition` with real ffmpeg: what is made, what is refused, and what ends ffmpeg."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.catalogue.tools import ENGINES, Studio, WorkerProcess, needs, studio, web
from tests.waiting import until
from tests.worker.kit import ended
from windlass import InvalidArgs
from windlass.catalogue.ffmpeg import Ffmpeg, Work, limits_for
from windlass.catalogue.files_source import key_of
from windlass.catalogue.settings import FetchSettings, MediaSettings, StorageSettings
from windlass.catalogue.storage import KeyRefused

tools_are_here = needs("ffmpeg", "ffprobe")


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def film(path: Path, seconds: float = 3, size: str = "1280x720", *, sound: bool = True, codec: str = "libx264") -> Path:
    """A test picture with a tone."""
    tone = ["-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}"] if sound else []
    subprocess.run(
        [
            *(
                "ffmpeg",
                "-nostdin",
                "-v",
                "error",
                "-y",
                "-f",
                "lavfi",
                "-i",
                f"testsrc2=size={size}:rate=25:duration={seconds}",
            ),
            *tone,
            *(
                "-c:v",
                codec,
                "-preset",
                "ultrafast",
                "-pix_fmt",
                "yuv420p",
                *(["-c:a", "aac"] if sound else []),
                str(path),
            ),
        ],
        check=True,
    )
    return path


def tone_of(path: Path, seconds: float) -> Path:
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"sine=duration={seconds}", str(path)], check=True)
    return path


async def probed(it: Studio, folder: Path, key: str) -> Any:
    file = folder / "probed"
    await it.storage.download(key, file)
    return await Ffmpeg().probe(file)


async def test_a_video_becomes_smaller_and_gets_a_poster(engine: str, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "video") as it:
        key = await it.put("upload.mp4", film(tmp_path / "a.mp4"))
        fields = {"contentId": "c1", "videoPath": key, "user": {"_id": "ada", "email": "ada@example.org"}}
        ref = await it.handlers["process-video"].enqueue(**fields)
        job = await ended(it.app, ref.id, 60)
        assert job.state == "completed", job.error
        found = job.result
        assert (job.progress, found["reused"]) == (100.0, False)
        assert found["source"]["width"] == 1280
        assert found["source"]["audio"] == "aac"
        small = await probed(it, tmp_path, found["artifacts"]["mp4_640"]["key"])
        picture = small.first("video")
        assert (picture.codec, picture.width, picture.height) == ("h264", 1138, 640)
        assert small.first("audio").codec == "aac"
        assert abs(small.duration - 3) < 0.2
        assert (await it.read(found["artifacts"]["poster"]["key"])).startswith(b"\xff\xd8\xff")
        assert found["artifacts"]["poster"]["media_type"] == "image/jpeg"

        again = await it.done("process-video", **{**fields, "contentId": "c2"})
        assert (again["reused"], again["content_id"]) == (True, "c2")
        assert again["artifacts"] == found["artifacts"]
        await it.storage.delete(found["artifacts"]["poster"]["key"])
        once_more = await it.done("process-video", **fields)
        assert not once_more["reused"], "what is no longer there is made again"
        assert once_more["artifacts"]["mp4_640"]["key"] == found["artifacts"]["mp4_640"]["key"]


@pytest.mark.slow
async def test_every_form(tmp_path: Path) -> None:
    async with studio(ENGINES[0], tmp_path, "video") as it:
        key = await it.put("upload.mkv", film(tmp_path / "a.mkv", 2, "480x852"))
        forms = ["mp4_640", "mp4_720", "mp4_1080", "webm_640", "audio_mp3", "poster"]
        found = await it.done(
            "process-video", content_id="c", video_path=key, user_id="ada", outputs=forms, loudness=-16
        )
        assert list(found["artifacts"]) == forms
        for form in forms[:4]:
            made = await probed(it, tmp_path, found["artifacts"][form]["key"])
            picture = made.first("video")
            assert (picture.width, picture.height) == (480, 852), f"{form} is larger than its source"
            assert made.first("audio") is not None
        sound = await probed(it, tmp_path, found["artifacts"]["audio_mp3"]["key"])
        assert [stream.codec for stream in sound.streams] == ["mp3"]


async def test_progress_is_told_while_ffmpeg_works(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4", 10, "480x270")
    shares: list[float] = []
    work = Work(
        sources=[((), source)],
        outputs=["-c:v", "libx264", "-preset", "medium", "out.mp4"],
        seconds=10,
        folder=tmp_path,
        limits=limits_for(10, room=1 << 30),
    )
    await Ffmpeg().run(work, shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) > 2


async def test_what_is_refused(engine: str, tmp_path: Path) -> None:
    whole = film(tmp_path / "a.mp4").read_bytes()
    tone = tone_of(tmp_path / "tone.wav", 1)
    silent = film(tmp_path / "silent.mp4", 1, sound=False)
    secret = tmp_path / "secret.ts"
    secret.write_bytes(b"secret")
    files: dict[str, tuple[bytes | Path, dict[str, Any], str]] = {
        "garbage.mp4": (b"this is no video" * 1000, {}, "cannot read the file"),
        "cut.mp4": (whole[: len(whole) // 2], {}, "moov atom not found"),
        "empty.mp4": (b"", {}, "cannot read the file"),
        "playlist.mp4": (b"#EXTM3U\n#EXTINF:1,\nhttp://169.254.169.254/x.ts\n", {}, "cannot read the file"),
        "local.m3u8": (f"#EXTM3U\n#EXTINF:1,\nfile://{secret}\n".encode(), {}, "cannot read the file"),
        "list.mp4": (f"ffconcat version 1.0\nfile '{secret}'\n".encode(), {}, "not on whitelist"),
        "tone.mp4": (tone, {}, "holds no video"),
        "long.mp4": (whole, {"maxDurationS": 1}, "the limit is 1 s"),
        "silent.mp4": (silent, {"outputs": ["audio_mp3"]}, "has no sound"),
    }
    async with studio(engine, tmp_path, "video", media=MediaSettings(max_size=20_000_000)) as it:
        for name, (content, more, why) in files.items():
            key = await it.put(name, content)
            said = await it.refused("process-video", contentId="c", videoPath=key, userId="ada", **more)
            assert why in said, name
            assert "secret" not in said.replace(str(secret), "")
        key = await it.put("big.mp4", bytes(20_000_001))
        assert "the limit is" in await it.refused("process-video", contentId="c", videoPath=key, userId="ada")
        theirs = await it.put("a.mp4", whole, user="eve")
        assert "not a file of ada" in await it.refused("process-video", contentId="c", videoPath=theirs, userId="ada")
        for place in ("../a.mp4", "/etc/passwd", "concat:a|b", "-i"):
            said = await it.refused("process-video", contentId="c", videoPath=place, userId="ada")
            assert "KeyRefused" in said or "NoSuchFile" in said, place
        said = await it.refused("process-video", contentId="c", videoUrl="http://127.0.0.1:1/a.mp4", userId="ada")
        assert "AddressRefused" in said
        for fields in ({}, {"videoPath": "a", "videoUrl": "https://example.org/a"}, {"videoUrl": "file:///etc/passwd"}):
            with pytest.raises(InvalidArgs):
                await it.handlers["process-video"].enqueue(contentId="c", **fields)


async def test_disk_is_bounded(tmp_path: Path) -> None:
    storage = StorageSettings(url=f"file://{tmp_path / 'storage'}", work_bytes=200_000)
    async with studio(ENGINES[0], tmp_path, "video", storage=storage) as it:
        key = await it.put("a.mp4", film(tmp_path / "a.mp4", 2))
        said = await it.refused("process-video", contentId="c", videoPath=key, userId="ada", outputs=["mp4_720"])
        assert "ProgramTooBig" in said or "the limit is" in said


async def test_a_job_of_somebody_works_with_their_files_only(tmp_path: Path) -> None:
    async with studio(ENGINES[0], tmp_path, "video") as it:
        key = await it.put("a.mp4", film(tmp_path / "a.mp4", 1), user="ada")
        fields = {"contentId": "c", "videoPath": key, "outputs": ["poster"]}
        handler = it.handlers["process-video"]
        job = await ended(it.app, (await handler.options(user="eve").enqueue(**fields, userId="ada")).id)
        assert (job.state, job.attempt) == ("failed", 1)
        assert job.error is not None
        assert "asks for files of 'ada'" in job.error.message
        job = await ended(it.app, (await handler.options(user="eve").enqueue(**fields)).id)
        assert job.state == "failed"
        job = await ended(it.app, (await handler.options(user="ada").enqueue(**fields)).id)
        assert job.state == "completed", job.error
        assert job.result["artifacts"]["poster"]["key"].startswith("t/default/u/ada/")


async def test_a_broken_middle_is_noticed(tmp_path: Path) -> None:
    whole = bytearray(film(tmp_path / "a.mkv", 4).read_bytes())
    cut = bytes(whole[: len(whole) // 3])  # Matroska can be read up to where it ends
    async with studio(ENGINES[0], tmp_path, "video") as it:
        key = await it.put("a.mkv", cut)
        said = await it.refused("process-video", contentId="c", videoPath=key, userId="ada", outputs=["mp4_640"])
        assert "could be read" in said or "cannot read" in said


async def test_a_video_from_the_web(tmp_path: Path) -> None:
    fetch = FetchSettings(allow_private=("127.0.0.0/8",))
    file = film(tmp_path / "a.mp4", 1).read_bytes()
    async with web({"/a.mp4": file}) as address, studio(ENGINES[0], tmp_path, "video", fetch=fetch) as it:
        found = await it.done("process-video", contentId="c", videoUrl=f"{address}/a.mp4", outputs=["poster"])
        assert list(found["artifacts"]) == ["poster"]


LONG = {"contentId": "c", "userId": "ada", "outputs": ["mp4_1080", "webm_640", "mp4_720", "mp4_640"]}
"""Work for longer than any of these tests takes."""


async def test_cancelling_ends_ffmpeg(engine: str, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "video") as it:
        key = await it.put("a.mp4", film(tmp_path / "a.mp4", 25))
        ref = await it.handlers["process-video"].enqueue(videoPath=key, **LONG)
        (pid,) = await until(lambda: programs_of(os.getpid(), "ffmpeg"), "ffmpeg to run")
        await it.app.jobs.cancel(ref.id)
        assert (await ended(it.app, ref.id)).state == "cancelled"
        await until(lambda: not psutil.pid_exists(pid) and not programs_of(os.getpid(), "ffmpeg"), "ffmpeg to be gone")


@pytest.mark.slow
async def test_cancelling_ends_ffmpeg_of_a_worker_process(tmp_path: Path) -> None:
    async with studio(ENGINES[0], tmp_path, "video", worker=False) as it:
        key = await it.put("a.mp4", film(tmp_path / "a.mp4", 25))
        ref = await it.handlers["process-video"].enqueue(videoPath=key, **LONG)
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        async with WorkerProcess(it, temporary) as worker:  # its loop is another one
            (pid,) = await until(lambda: programs_of(worker.pid, "ffmpeg"), "ffmpeg to run")
            await it.app.jobs.cancel(ref.id)
            assert (await ended(it.app, ref.id)).state == "cancelled"
            await until(lambda: not psutil.pid_exists(pid) and not programs_of(worker.pid, "ffmpeg"), "ffmpeg to go")
            await until(lambda: not list(temporary.glob("windlass-*")), "the attempt's folder to be gone")


@pytest.mark.slow
async def test_a_time_limit_ends_ffmpeg(tmp_path: Path) -> None:
    async with studio(ENGINES[0], tmp_path, "video") as it:
        key = await it.put("a.mp4", film(tmp_path / "a.mp4", 25))
        options = it.handlers["process-video"].options(timeout="4s", max_attempts=1)
        ref = await options.enqueue(videoPath=key, **LONG)
        await until(lambda: programs_of(os.getpid(), "ffmpeg"), "ffmpeg to run")
        assert (await ended(it.app, ref.id)).state == "failed"
        await until(lambda: not programs_of(os.getpid(), "ffmpeg"), "ffmpeg to be gone")


@pytest.mark.slow
async def test_a_killed_worker_leaves_no_ffmpeg_and_the_job_succeeds_elsewhere(engine: str, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "video", worker=False) as it:
        key = await it.put("a.mp4", film(tmp_path / "a.mp4", 12))
        ref = await it.handlers["process-video"].enqueue(contentId="c", videoPath=key, userId="ada")
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        async with WorkerProcess(it, temporary) as first:
            (pid,) = await until(lambda: programs_of(first.pid, "ffmpeg"), "ffmpeg to run")
            assert list(temporary.glob("windlass-*"))
            os.kill(first.pid, signal.SIGKILL)
            await until(lambda: not psutil.pid_exists(pid), "ffmpeg to die with its worker")
        async with WorkerProcess(it, temporary):
            job = await ended(it.app, ref.id, 90)
        assert job.state == "completed", job.error
        assert set(job.result["artifacts"]) == {"mp4_640", "poster"}
        assert not list(temporary.glob("windlass-*")), "the dead worker's folder is still there"


def programs_of(pid: int, name: str) -> list[int]:
    """Processes below `pid` that have become that program."""
    found: list[int] = []
    for child in psutil.Process(pid).children(recursive=True):
        try:
            if child.name() == name:
                found.append(child.pid)
        except psutil.NoSuchProcess:
            continue
    return found


def test_paths_inside_the_storage_are_keys(tmp_path: Path) -> None:
    url = f"file://{tmp_path}"
    assert key_of(f"{tmp_path}/a/b.mp4", url) == "a/b.mp4"
    assert key_of(f"file://{tmp_path}/a/b.mp4", str(tmp_path)) == "a/b.mp4"
    assert key_of("a/b.mp4", "s3://bucket") == "a/b.mp4"
    for place in ("/etc/passwd", f"{tmp_path}/../x", f"{tmp_path}x/a", "a/../../b"):
        with pytest.raises(KeyRefused):
            key_of(place, url)
    with pytest.raises(KeyRefused):
        key_of("/a", "s3://bucket")


def dialogue(path: Path) -> Path:
    path.write_text("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nHello\n\n00:00:02.000 --> 00:00:03.000\n<i>Bye</i>\n")
    return path


async def test_scenes_that_fit_are_joined_as_they_are(engine: str, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "video") as it:
        scenes = [await it.put(f"{n}.mp4", film(tmp_path / f"{n}.mp4", 1 + n, "320x240")) for n in range(3)]
        text = await it.put("a.vtt", dialogue(tmp_path / "a.vtt"))
        fields = {"projectId": "p", "scenes": scenes, "userId": "ada"}
        found = await it.done("video-composition", **fields, subtitles=text)
        assert (found["copied"], found["scenes"], found["width"], found["height"]) == (True, 3, 320, 240)
        assert abs(found["duration"] - 6) < 0.3
        made = await probed(it, tmp_path, found["artifact"]["key"])
        assert [stream.codec for stream in made.streams] == ["h264", "aac", "mov_text"]
        again = await it.done("video-composition", **{**fields, "projectId": "q"}, subtitles=text)
        assert (again["reused"], again["project_id"]) == (True, "q")
        other = await it.done("video-composition", **{**fields, "scenes": scenes[::-1]}, subtitles=text)
        assert other["artifact"]["key"] != found["artifact"]["key"], "another order is another film"


async def test_scenes_of_all_kinds_with_a_track(engine: str, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "video") as it:
        scenes = [
            await it.put("a.mp4", film(tmp_path / "a.mp4", 2, "320x240")),
            await it.put("b.mkv", film(tmp_path / "b.mkv", 2, "160x200", sound=False)),
        ]
        track = await it.put("track.wav", tone_of(tmp_path / "track.wav", 1))
        fields = {"projectId": "p", "scenes": scenes, "userId": "ada", "audioTrack": track, "quality": "draft"}
        found = await it.done("video-composition", **fields, resolution="640p", transitions="fade")
        assert (found["copied"], found["width"], found["height"]) == (False, 852, 640)
        made = await probed(it, tmp_path, found["artifact"]["key"])
        assert [stream.codec for stream in made.streams] == ["h264", "aac"]
        assert abs(made.duration - 4) < 0.3
        text = await it.put("a.vtt", dialogue(tmp_path / "a.vtt"))
        web = await it.done("video-composition", **fields, format="webm", audioMode="mix", subtitles=text)
        made = await probed(it, tmp_path, web["artifact"]["key"])
        assert [stream.codec for stream in made.streams] == ["vp9", "opus", "webvtt"]
        assert abs(made.duration - 4) < 0.3


async def test_what_a_composition_refuses(tmp_path: Path) -> None:
    async with studio(ENGINES[0], tmp_path, "video") as it:
        good = await it.put("a.mp4", film(tmp_path / "a.mp4", 1, "320x240"))
        bad = await it.put("b.mp4", b"no video" * 100)
        tone = await it.put("c.wav", tone_of(tmp_path / "c.wav", 1))
        fields = {"projectId": "p", "userId": "ada"}
        assert "no file" in await it.refused("video-composition", **fields, scenes=[good, f"{good}x"])
        assert "cannot read" in await it.refused("video-composition", **fields, scenes=[good, bad])
        assert "scene 2: the file holds no video" in await it.refused(
            "video-composition", **fields, scenes=[good, tone]
        )
        said = await it.refused("video-composition", **fields, scenes=[good], subtitles=bad)
        assert "neither SubRip nor WebVTT" in said
        said = await it.refused(
            "video-composition", **fields, scenes=[good], audioTrack=await it.put("d.mp4", bad.encode())
        )
        assert "cannot read" in said
        theirs = await it.put("a.mp4", b"x", user="eve")
        assert "not a file of ada" in await it.refused("video-composition", **fields, scenes=[good, theirs])
        for scenes in ([], [good] * 51):
            with pytest.raises(InvalidArgs):
                await it.handlers["video-composition"].enqueue(**fields, scenes=scenes)
