"""Posts at their time, on a platform of one's own: planned, changed, cancelled, and out once."""

import asyncio
import importlib.util
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from windlass import Windlass

if TYPE_CHECKING:
    from windlass.catalogue.posts import Outgoing

app = Windlass("sqlite://:memory:")


class Wall:
    """A platform: what it takes, how it posts, and how a post is found that nobody heard of."""

    name = "wall"
    in_doubt = "lookup"
    longest = 280

    def __init__(self) -> None:
        self.posts: dict[str, str] = {}

    def length(self, text: str) -> int:
        return len(text)

    async def post(self, post: "Outgoing") -> Mapping[str, Any]:
        self.posts[post.key] = post.text
        return {"id": str(len(self.posts))}

    async def lookup(self, post: "Outgoing") -> Mapping[str, Any] | None:
        return {"id": post.key} if post.key in self.posts else None


async def main() -> None:
    from windlass import catalogue
    from windlass.catalogue.posts import posts_of
    from windlass.catalogue.settings import CatalogueSettings

    catalogue.install(app, families=["posts"], settings=CatalogueSettings())
    wall, posts = Wall(), posts_of(app)
    posts.platform(wall)
    async with app:
        now = datetime.now(UTC)
        await posts.put("c1", now + timedelta(hours=1), ["wall"], "Good morning.")
        await posts.put("c2", now + timedelta(hours=1), ["wall"], "Never.")
        await posts.cancel("c2")
        await posts.put("c1", now, ["wall", "log"], "Good morning, all.")  # another time, another text
        await app.drain()
        for plan in await posts.list():
            print(plan.content_id, {name: part["state"] for name, part in plan.platforms.items()})
        print("on the wall:", list(wall.posts.values()))
        assert list(wall.posts.values()) == ["Good morning, all."]


if all(importlib.util.find_spec(name) for name in ("pydantic_settings", "httpx2")):
    asyncio.run(main())
else:
    print("skipped: pip install 'windlass[catalogue]'")
