"""Where posts go: what a platform has to offer, and one that writes them to the log."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from windlass import Category, WindlassError

Doubt: TypeAlias = Literal["hold", "lookup", "resend"]

log = logging.getLogger("windlass.posts")


class PostRefused(WindlassError):
    """The platform said no, so nothing was posted; `category` says whether it will say yes another time. Platforms raise this and
    nothing else when they know for certain."""

    code = "post-refused"

    def __init__(self, message: str, *, category: str = Category.PERMANENT, **facts: object) -> None:
        super().__init__(message, category=category, **facts)
        self.category = category


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A post for one platform. `key` names it: the same key is the same post, for platforms that take one against doubles."""

    key: str
    content_id: str
    account: str
    text: str
    image_url: str | None
    link: str | None
    user: str | None
    tenant: str


class Platform(Protocol):
    """A platform: `posts_of(app).platform(MyPlatform())`. `in_doubt`: what is done when nobody knows whether a post went out;
    with `lookup` the platform is asked, and None means it is not there."""

    name: str
    in_doubt: Doubt
    longest: int | None
    """Characters of a post, as it counts them; None for any."""

    def length(self, text: str) -> int:
        """How long a text is there."""
        ...

    async def post(self, post: Outgoing) -> Mapping[str, Any]:
        """Post it; what is worth keeping, `id` and `url` above all. Raises `PostRefused` for a certain no."""
        ...

    async def lookup(self, post: Outgoing) -> Mapping[str, Any] | None:
        """The post, if it is there."""
        ...


class Log:
    """The platform `log`: posts become lines of the logger `windlass.posts`, for those who develop."""

    name = "log"
    in_doubt: Doubt = "resend"
    longest: int | None = None

    def length(self, text: str) -> int:
        """Characters."""
        return len(text)

    async def post(self, post: Outgoing) -> Mapping[str, Any]:
        """A line."""
        log.info("post %s by %s: %s", post.key, post.user or "nobody", post.text)
        return {"id": post.key}

    async def lookup(self, post: Outgoing) -> Mapping[str, Any] | None:
        """Lines cannot be looked up."""
        return None


__all__ = ["Doubt", "Log", "Outgoing", "Platform", "PostRefused"]
