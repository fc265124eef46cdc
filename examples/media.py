"""A text is spoken, put under a picture, made smaller with a poster, and written down again: ffmpeg, espeak-ng, pocketsphinx."""

import asyncio
import subprocess
import tempfile
from pathlib import Path

from windlass import JobFailed, Windlass

app = Windlass("sqlite://:memory:")
KINDS = ("audio-synthesis", "process-video", "generate-transcript")
TEXT = "A job queue runs work in the background."


def film(sound: Path, path: Path) -> None:
    picture = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=10"]
    make = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-shortest", str(path)]
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", *picture, "-i", str(sound), *make], check=True)


async def main() -> None:
    try:
        from windlass import catalogue
        from windlass.catalogue.settings import CatalogueSettings, MediaSettings, StorageSettings

        offline = MediaSettings(speech_providers=("espeak-ng",), transcript_providers=("pocketsphinx",))
        settings = CatalogueSettings(media=offline)
    except ImportError as error:
        print(f"skipped: {error.name} is not installed; pip install 'windlass[media]'")
        return
    lacks = [state for state in catalogue.survey(settings) if state.kind in KINDS and not state.ready]
    if lacks:
        print(*(f"skipped: {state.kind}, {state.word}: {state.mend}" for state in lacks), sep="\n")
        return
    storage = catalogue.Storage.open(StorageSettings(url="memory://"))
    jobs = catalogue.install(app, kinds=KINDS, settings=settings, storage=storage)
    async with app:
        speech = await jobs["audio-synthesis"].enqueue(text=TEXT, format="wav", userId="ada")
        await app.drain()
        spoken = await speech.result()
        print(f"spoken by {spoken.provider}: {spoken.characters} characters, ${spoken.cost}")

        with tempfile.TemporaryDirectory() as folder:
            sound, video = Path(folder) / "speech.wav", Path(folder) / "film.mp4"
            await storage.download(spoken.artifact.key, sound)
            await asyncio.to_thread(film, sound, video)
            await storage.put("t/default/u/ada/film.mp4", video)

        source = {"contentId": "film", "videoPath": "t/default/u/ada/film.mp4", "userId": "ada"}
        small = await jobs["process-video"].enqueue(**source)
        text = await jobs["generate-transcript"].enqueue(**source, vocabulary=[TEXT], formats=["txt", "vtt"])
        await app.drain()
        print("made:", ", ".join((await small.result()).artifacts))
        try:
            print("heard:", (await text.result()).text)
        except JobFailed as failed:  # without pocketsphinx there is nobody who can listen
            print("not written down:", failed.error["message"])


if __name__ == "__main__":
    asyncio.run(main())
