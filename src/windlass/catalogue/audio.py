"""The handler of `audio-synthesis` and `tts-process`: a text becomes a sound in the storage, said once for all who ask again."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from windlass import Context
from windlass.catalogue.files_kept import keep, recall
from windlass.catalogue.files_source import folder_of, owner_for
from windlass.catalogue.inputs import Artifact, JobInput, Output, Part
from windlass.catalogue.installing import Kit, kit_of
from windlass.catalogue.speech import Mouth, Sound, Wish, join
from windlass.catalogue.storage import NoSuchFile, prefix_of
from windlass.catalogue.video import tools_of

_MEDIA_TYPES: dict[Sound, str] = {"mp3": "audio/mpeg", "wav": "audio/wav", "opus": "audio/ogg"}


class VoiceSettings(Part):
    """How ElevenLabs is to sound; other providers have no such settings."""

    stability: Annotated[float, Field(ge=0, le=1)] | None = None
    similarity: Annotated[float, Field(ge=0, le=1)] | None = None


class SpeechInput(JobInput):
    """A text to speak. `real_time` and `batch` are for the priority rules of the preset."""

    text: Annotated[str, Field(min_length=1, max_length=100_000)]
    project_id: str | None = None
    voice_id: Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9+_.:-]*$")] = ""
    language: Annotated[str, Field(max_length=20, pattern=r"^[A-Za-z0-9-]*$")] = ""
    format: Sound = "mp3"
    speed: Annotated[float, Field(ge=0.25, le=4)] = 1.0
    settings: VoiceSettings = VoiceSettings()
    provider: Literal["", "elevenlabs", "openai", "espeak-ng"] = ""
    real_time: bool = False
    batch: bool = False
    skip_cache: bool = False

    @field_validator("text")
    @classmethod
    def _says_something(cls, text: str) -> str:
        if not any(c.isalnum() for c in text):
            raise ValueError("holds nothing that can be said")
        if "\0" in text:
            raise ValueError("holds a NUL character")
        return text


class SpeechOutput(Output):
    """The sound. `characters`: of the text; `cost`: US dollars of this run."""

    artifact: Artifact
    duration: float
    characters: int
    provider: str
    cost: float = 0.0
    reused: bool = False


async def speak(ctx: Context, given: SpeechInput) -> SpeechOutput:
    """Speak a text. The key comes from the text and how it is said: what was said before is not paid for again."""
    kit = kit_of(ctx)
    owner = owner_for(ctx, given.tenant, given.user_id)
    mouth = kit.part(Mouth)
    wish = Wish(
        text=given.text.strip(),
        sound=given.format,
        voice=given.voice_id,
        language=given.language,
        speed=given.speed,
        stability=given.settings.stability,
        similarity=given.settings.similarity,
        provider=given.provider,
    )
    chain = mouth.chain(wish)
    where = f"{prefix_of(owner.tenant, owner.user)}speech/{wish.identity()[:40]}/"
    known = await recall(kit, where, SpeechOutput, lambda made: [made.artifact])
    if known is not None and not given.skip_cache and known.provider == chain.providers[0].name:
        ctx.progress(100, "said before")
        return known.model_copy(update={"reused": True, "cost": 0.0})
    ctx.progress(5, "speaking")
    folder = folder_of(ctx)
    spoken = await chain.call(mouth.say, wish, folder, _Shelf(kit, where))
    ctx.progress(80, spoken.provider)
    path, seconds = await join(tools_of(kit), spoken.parts, given.format, folder)
    artifact = await kit.storage.put(f"{where}{path.name}", path, media_type=_MEDIA_TYPES[given.format])
    made = SpeechOutput(
        artifact=artifact,
        duration=round(seconds, 3),
        characters=len(wish.text),
        provider=spoken.provider,
        cost=round(ctx.spent, 6),
    )
    await keep(kit, where, made)
    await _Shelf(kit, where).clear()
    ctx.progress(100, spoken.provider)
    return made


class _Shelf:
    """The parts of a long text, beside where the whole will be."""

    def __init__(self, kit: Kit, where: str) -> None:
        self._kit = kit
        self._where = f"{where}parts/"

    async def find(self, name: str, into: Path) -> bool:
        """Bring a part that was said before; whether there is one."""
        with suppress(NoSuchFile):
            await self._kit.storage.download(f"{self._where}{name}", into)
            return True
        return False

    async def keep(self, name: str, path: Path) -> None:
        """Keep a part."""
        await self._kit.storage.put(f"{self._where}{name}", path, media_type="application/octet-stream")

    async def clear(self) -> None:
        """The whole is there: the parts may go."""
        keys = [each.key async for each in self._kit.storage.list(self._where)]
        await self._kit.storage.delete(*keys)
