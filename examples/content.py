"""Posts about a text, without a model: sentences that say most, made to fit each platform."""

import asyncio
import importlib.util

from windlass import Windlass

app = Windlass("sqlite://:memory:")
app.queue("content-generation", concurrency=5)  # instead of the preset's 20 a minute
TEXT = """A job queue stores each job before anybody works on it, so a crash loses none. Workers take jobs under a lease.
When a worker dies, its lease lapses and another worker takes its jobs over. It rained on Tuesday.
Jobs that fail for good become dead letters: a person looks at them, mends what was wrong, and sends the jobs back."""


def is_ready() -> bool:
    missing = [name for name in ("obstore", "pydantic_settings") if not importlib.util.find_spec(name)]
    if missing:
        print(f"skipped: {', '.join(missing)} not installed; pip install 'windlass[ai]'")
    return not missing


async def main() -> None:
    from windlass import catalogue
    from windlass.catalogue.settings import AiSettings, CatalogueSettings, StorageSettings

    storage = catalogue.Storage.open(StorageSettings(url="memory://"))
    # With ANTHROPIC_API_KEY and ANTHROPIC_MODEL, or OPENAI_..., leave this out: then a model writes.
    settings = CatalogueSettings(ai=AiSettings(content_providers=("extractive",)))
    kinds = catalogue.install(app, families=["content"], settings=settings, storage=storage)
    async with app:
        ref = await kinds["generate-content"].enqueue(contentId="c1", text=TEXT, platforms=["twitter", "linkedin"])
        await app.drain()
        made = await ref.result()
        print(f"by {made.provider} ({made.quality}); keywords: {', '.join(made.keywords[:4])}")
        for platform, posts in made.posts.items():
            print(f"\n{platform}, {posts[0].length} characters:\n{posts[0].text}")


if is_ready():
    asyncio.run(main())
