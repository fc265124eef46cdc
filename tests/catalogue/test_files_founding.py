"""The founding documents' own calls, with the fields that they show, run by the catalogue's kinds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.catalogue.test_images import photo
from tests.catalogue.test_video import film
from tests.catalogue.tools import ENGINES, needs, running_clamd, studio
from tests.worker.kit import ended
from windlass import compat
from windlass.catalogue.settings import FileSettings, MediaSettings

tools_are_here = needs("ffmpeg", "ffprobe", "espeak-ng", "clamd", "PIL", "puremagic")


@pytest.fixture
def clamd(tmp_path: Path) -> Iterator[str]:
    with running_clamd(tmp_path / "clamd", "25M") as address:
        yield address


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_founding_calls(engine: str, clamd: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "files": FileSettings(clamd=clamd),
        "media": MediaSettings(speech_providers=("espeak-ng",), transcript_providers=("pocketsphinx",)),
    }
    async with studio(engine, tmp_path, "files", "video", "speech", **settings) as it:
        compat.use(it.app)
        picture = photo(tmp_path / "a.jpg")
        key = await it.put("a.jpg", picture)
        options = {"generateThumbnail": True, "optimizeImage": True, "scanForViruses": True}
        size = picture.stat().st_size
        refs = await compat.file_processing_service.process_file(
            "file-1", key, "a.jpg", "image/jpeg", size, "ada", "product-1", options
        )
        jobs = [await ended(it.app, ref.id, 60) for ref in refs]
        assert [job.state for job in jobs] == ["completed"] * 3
        assert [job.result["verdict"] for job in jobs] == ["clean"] * 3
        assert [[a["name"] for a in job.result["artifacts"]] for job in jobs] == [
            [],
            ["a_2048.webp"],
            ["a_320x320.webp"],
        ]

        video = await it.put("v.mp4", film(tmp_path / "v.mp4", 1, "320x240"))
        ref = await compat.add_video_processing_job(
            {"contentId": "content-1", "videoPath": video, "user": {"_id": "ada", "email": "ada@example.org"}}
        )
        assert (await ended(it.app, ref.id, 60)).state == "completed"

        ref = await compat.queue_service.add_enhanced_job(
            "process-tts",
            "tts-process",
            {
                "text": "Hello",
                "voiceId": "en-us",
                "realTime": True,
                "retryStrategy": {"type": "exponential", "maxAttempts": 3, "delay": 2000, "maxDelay": 60000},
            },
        )
        job = await ended(it.app, ref.id, 60)
        assert job.state == "completed", job.error
        assert (job.priority, job.result["provider"]) == (5, "espeak-ng")
