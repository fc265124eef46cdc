"""All presets, and the work of a queue in any of them."""

from windlass.presets.documents import ai_video, market, marketplace, media
from windlass.presets.work import Preset, Work

PRESETS: tuple[Preset, ...] = (media, ai_video, market, marketplace)
ALL: tuple[Work, ...] = tuple({work.queue: work for preset in PRESETS for work in preset.works}.values())


def works_of(queue: str) -> list[Work]:
    """What presets say of a queue."""
    return [work for work in ALL if work.queue == queue]
