"""Files of users: the type by content, size and shape checked, pictures made smaller in a process of their own."""

import asyncio
import importlib.util
import io

from windlass import JobFailed, Windlass

app = Windlass("sqlite://:memory:")


def is_ready() -> bool:
    missing = [
        name for name in ("PIL", "puremagic", "obstore", "pydantic_settings") if not importlib.util.find_spec(name)
    ]
    if missing:
        print(f"skipped: {', '.join(missing)} not installed; pip install 'windlass[files]'")
    return not missing


def picture() -> bytes:
    from PIL import Image

    made = io.BytesIO()
    Image.effect_noise((1600, 1200), 60).convert("RGB").save(made, "JPEG", quality=95)
    return made.getvalue()


async def main() -> None:
    from windlass import catalogue
    from windlass.catalogue.settings import CatalogueSettings, StorageSettings

    storage = catalogue.Storage.open(StorageSettings(url="memory://"))
    settings = CatalogueSettings()
    process = catalogue.install(app, kinds=["file-processing"], settings=settings, storage=storage)["file-processing"]
    async with app:
        await storage.put("t/default/u/ada/photo.jpg", picture())
        await storage.put("t/default/u/ada/trick.jpg", b"<html><script>alert(1)</script></html>")

        # No clamd is set up here, so no scan is asked for: WINDLASS_CLAMD=/run/clamav/clamd.ctl
        options = {"scanForViruses": False}
        ref = await process.enqueue(
            fileId="1", fileUrl="t/default/u/ada/photo.jpg", fileName="photo.jpg", userId="ada", options=options
        )
        await app.drain()
        found = await ref.result()
        print(f"{found.verdict} {found.media_type} {found.width} x {found.height}, {found.saved:,} bytes saved")
        for artifact in found.artifacts:
            print(f"  {artifact.name}: {artifact.media_type}")

        trick = await process.enqueue(fileId="2", fileUrl="t/default/u/ada/trick.jpg", userId="ada", options=options)
        await app.drain()
        try:
            await trick.result()
        except JobFailed as failed:
            print("refused:", failed.error["message"])


if __name__ == "__main__":
    if is_ready():
        asyncio.run(main())
