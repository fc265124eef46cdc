"""Constants that the founding documents name."""

from types import MappingProxyType
from typing import Any

from windlass.values.priority import Priority
from windlass.values.queue import CLASS_WEIGHTS

JOB_PRIORITY = Priority
"""`JOB_PRIORITY.HIGH`: critical 10, high 5, normal 0, low -5."""
PRIORITY_WEIGHTS = MappingProxyType(dict(CLASS_WEIGHTS))
"""What the classes get of a queue whose order is `weighted`."""
PLANS = MappingProxyType({"free": 1, "basic": 2, "pro": 5, "enterprise": 10})
TYPES = MappingProxyType(
    {
        "video-generation": 2,
        "script-generation": 5,
        "scene-creation": 3,
        "audio-synthesis": 3,
        "image-generation": 5,
        "world-building": 2,
        "content-analysis": 10,
        "video-composition": 1,
        "personalization": 5,
        "ai-processing": 3,
    }
)
CONCURRENT_LIMITS: MappingProxyType[str, Any] = MappingProxyType({"user": PLANS, "type": TYPES})
QUEUE_CONFIG: MappingProxyType[str, Any] = MappingProxyType(
    {
        "defaultJobOptions": {
            "removeOnComplete": 10,
            "removeOnFail": 50,
            "attempts": 3,
            "backoff": {"type": "exponential", "delay": 2_000},
        },
        "settings": {"stalledInterval": 30_000, "maxStalledCount": 1, "lockDuration": 30_000},
    }
)
"""`queueConfig`; times are milliseconds."""
