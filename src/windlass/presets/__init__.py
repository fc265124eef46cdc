"""The founding documents' numbers as presets: `presets.apply(app, presets.media)`."""

from windlass.presets.applying import apply
from windlass.presets.catalogue import ALL, PRESETS, works_of
from windlass.presets.documents import ai_video, market, marketplace, media
from windlass.presets.work import Keep, Preset, Recurring, Work

__all__ = [
    "ALL",
    "Keep",
    "PRESETS",
    "Preset",
    "Recurring",
    "Work",
    "ai_video",
    "apply",
    "market",
    "marketplace",
    "media",
    "works_of",
]
