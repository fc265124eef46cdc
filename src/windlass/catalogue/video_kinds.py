"""The kinds of job for videos."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from windlass.catalogue.kinds import Kind, Lack
from windlass.catalogue.readiness import need_binary

if TYPE_CHECKING:
    from windlass.catalogue.settings import CatalogueSettings


def _needs(settings: "CatalogueSettings") -> Iterable[Lack]:
    yield from need_binary("ffmpeg", settings.media.ffmpeg, "WINDLASS_FFMPEG", "ffmpeg")
    yield from need_binary("ffprobe", settings.media.ffprobe, "WINDLASS_FFPROBE", "ffmpeg")


KINDS = (
    Kind(
        name="process-video",
        family="video",
        purpose="Check a video, make it smaller, make a poster",
        handler="windlass.catalogue.video:process_video",
        input="windlass.catalogue.video:VideoInput",
        output="windlass.catalogue.video:VideoOutput",
        extra="media",
        modules=("obstore", "httpx2"),
        needs=_needs,
        effect="same keys, overwritten",
        options={"timeout": "8h"},
    ),
    Kind(
        name="video-composition",
        family="video",
        purpose="Put scenes together, with sound and subtitles, in a format and quality",
        handler="windlass.catalogue.video_composition:compose_video",
        input="windlass.catalogue.video_composition:CompositionInput",
        output="windlass.catalogue.video_composition:CompositionOutput",
        extra="media",
        modules=("obstore", "httpx2"),
        needs=_needs,
        effect="same keys, overwritten",
        options={"timeout": "8h"},
    ),
)
