"""Speaking: a text cut at its sentences, said by the first provider of the chain that can, joined into one sound."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import msgspec
from msgspec.structs import replace

from windlass import WindlassError
from windlass.catalogue.confined import Limits, ProgramFailed, run
from windlass.catalogue.ffmpeg import BadMedia, Ffmpeg, Work, limits_for
from windlass.catalogue.installing import Kit
from windlass.catalogue.speech_http import BadAnswer, NotSetUp, Service
from windlass.catalogue.speech_kinds import speakers
from windlass.providers import Chain, Provider

Sound: TypeAlias = Literal["mp3", "wav", "opus"]

MOST_CHARACTERS = 4000
"""Of one request: OpenAI takes 4,096, ElevenLabs 5,000 and more."""
_ENCODERS: dict[Sound, list[str]] = {
    "mp3": ["-c:a", "libmp3lame", "-b:a", "128k"],
    "wav": ["-c:a", "pcm_s16le"],
    "opus": ["-c:a", "libopus", "-b:a", "64k", "-f", "ogg"],
}
_ENDINGS: dict[Sound, str] = {"mp3": "mp3", "wav": "wav", "opus": "opus"}
_USUAL_VOICE = {"openai": "alloy", "espeak-ng": "en-us"}
_ESPEAK_VOICE = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,30}(\+[A-Za-z0-9]{1,20})?")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})?")
_WORDS_A_MINUTE = 165
_SENTENCE = re.compile(r"(?<=[.!?…。！？])\s+|\n{2,}")


class Wish(msgspec.Struct, frozen=True):
    """What is to be said and how. `voice`: of the provider; empty is its usual one. `speed`: 1 is normal."""

    text: str
    sound: Sound = "mp3"
    voice: str = ""
    language: str = ""
    speed: float = 1.0
    stability: float | None = None
    similarity: float | None = None
    provider: str = ""

    def identity(self) -> str:
        """A hash of all of it."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()


class Spoken(msgspec.Struct, frozen=True):
    """All of a text, in parts. `characters`: those that were said now, and are paid for."""

    parts: tuple[Path, ...]
    provider: str
    characters: int


class BadVoice(WindlassError, ValueError):
    """The provider that was asked for has no such voice."""

    code = "bad-voice"
    retryable = False


class Shelf(Protocol):
    """Where parts of a long text wait until all are said, so that a later attempt pays for none of them again."""

    async def find(self, name: str, into: Path) -> bool: ...

    async def keep(self, name: str, path: Path) -> None: ...


class Mouth:
    """The chain of providers of one app's settings."""

    def __init__(self, kit: Kit) -> None:
        media, ai = kit.settings.media, kit.settings.ai
        self._media = media
        self.names = speakers(kit.settings)
        sole = len(self.names) == 1
        key = ai.openai_api_key.get_secret_value()
        self._openai = Service(
            "openai", ai.openai_base_url.rstrip("/"), {"authorization": f"Bearer {key}"} if key else {}, sole=sole
        )
        self._elevenlabs = Service(
            "elevenlabs",
            media.elevenlabs_base_url.rstrip("/"),
            {"xi-api-key": media.elevenlabs_api_key.get_secret_value()},
            sole=sole,
        )
        prices = {"elevenlabs": media.elevenlabs_price, "openai": media.speech_price, "espeak-ng": 0.0}
        self._chains: dict[str, Chain] = {}
        self._providers = {name: Provider(name, cost=Price(prices[name])) for name in self.names}

    def chain(self, wish: Wish) -> Chain:
        """Who is asked for this: the one that is named, or all that can."""
        names = [wish.provider] if wish.provider else [name for name in self.names if self._can(name, wish)]
        absent = [name for name in names if name not in self._providers]
        if absent or not names:
            raise NotSetUp(
                f"{wish.provider or 'a speech provider for this voice'} is not set up here; there are: {self.names}",
                field="WINDLASS_SPEECH_PROVIDERS",
                mend="apt-get install espeak-ng, or set ELEVENLABS_API_KEY with WINDLASS_ELEVENLABS_VOICE, or OPENAI_API_KEY",
            )
        key = " ".join(names)
        if key not in self._chains:
            self._chains[key] = Chain([self._providers[name] for name in names])
        return self._chains[key]

    def _can(self, name: str, wish: Wish) -> bool:
        """A voice of ElevenLabs is 20 letters, one of OpenAI a plain word: the others would refuse it, so they use their own."""
        return name != "elevenlabs" or bool(wish.voice or self._media.elevenlabs_voice)

    async def say(self, provider: Provider, wish: Wish, folder: Path, shelf: Shelf) -> Spoken:
        """The whole text by one provider: voices do not change in the middle."""
        texts = pieces(wish.text)
        paths: list[Path] = []
        paid = 0
        for number, text in enumerate(texts):
            path = folder / f"part{number}-{provider.name}"
            paths.append(path)
            is_kept = len(texts) > 1 and await shelf.find(path.name, path)
            if not is_kept:
                await self._say(provider.name, replace(wish, text=text), path)
                paid += len(text)
                if len(texts) > 1:
                    await shelf.keep(path.name, path)
        return Spoken(tuple(paths), provider.name, paid)

    async def _say(self, provider: str, wish: Wish, path: Path) -> None:
        if provider == "elevenlabs":
            await self._by_elevenlabs(wish, path)
        elif provider == "openai":
            await self._by_openai(wish, path)
        else:
            await self._by_espeak(wish, path)

    async def _by_elevenlabs(self, wish: Wish, path: Path) -> None:
        voice = wish.voice or self._media.elevenlabs_voice
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", voice):
            raise BadVoice(f"{voice[:80]!r} is no voice of ElevenLabs")
        settings = {"stability": wish.stability, "similarity_boost": wish.similarity}
        known = {name: value for name, value in settings.items() if value is not None}
        if wish.speed != 1:
            known["speed"] = min(1.2, max(0.7, wish.speed))
        body: dict[str, object] = {"text": wish.text, "model_id": self._media.elevenlabs_model}
        if known:
            body["voice_settings"] = known
        await self._elevenlabs.speech(f"/v1/text-to-speech/{voice}", body, {"output_format": "mp3_44100_128"}, path)

    async def _by_openai(self, wish: Wish, path: Path) -> None:
        body: dict[str, object] = {
            "model": self._media.speech_model,
            "voice": wish.voice or _USUAL_VOICE["openai"],
            "input": wish.text,
            "response_format": wish.sound,
        }
        if wish.speed != 1:
            body["speed"] = wish.speed
        await self._openai.speech("/audio/speech", body, {}, path)

    async def _by_espeak(self, wish: Wish, path: Path) -> None:
        """On this machine. The text goes in by standard input: it is data, never an argument or markup."""
        rate = str(round(_WORDS_A_MINUTE * wish.speed))
        limits = Limits(timeout=60, cpu=60, memory=1 << 30, file=512 << 20)
        said = ""
        for voice in self._espeak_voices(wish):
            command = [self._media.espeak or "espeak-ng", "-v", voice, "-s", rate, "-b", "1", "-w", path, "--stdin"]
            done = await run(command, limits=limits, given=wish.text.encode())
            if done.code == 0:
                return
            said = done.said[-300:]
        if wish.provider and wish.voice:
            raise BadVoice(f"espeak-ng has no voice {wish.voice[:80]!r}")
        raise ProgramFailed(f"espeak-ng failed: {said}", program="espeak-ng", exit=1)

    def _espeak_voices(self, wish: Wish) -> list[str]:
        """The voice that was asked for; where it is another provider's, one of the language."""
        found = [wish.voice] if _ESPEAK_VOICE.fullmatch(wish.voice) else []
        if wish.provider and wish.voice:
            return found
        if _LANGUAGE.fullmatch(wish.language):
            found.append(wish.language.lower())
        return [*found, _USUAL_VOICE["espeak-ng"]]


async def join(tools: Ffmpeg, parts: Sequence[Path], sound: Sound, folder: Path) -> tuple[Path, float]:
    """The parts as one file in the form asked for, and its seconds."""
    seconds = 0.0
    for part in parts:
        try:
            found = await tools.probe(part)
        except BadMedia as error:
            raise BadAnswer(f"what came back is no sound: {error.message}") from error
        if found.first("audio") is None or found.duration <= 0:
            raise BadAnswer("what came back is no sound")
        seconds += found.duration
    path = folder / f"speech.{_ENDINGS[sound]}"
    inputs = "".join(f"[{n}:a:0]aresample=44100,aformat=channel_layouts=mono[a{n}];" for n in range(len(parts)))
    joints = "".join(f"[a{n}]" for n in range(len(parts)))
    graph = f"{inputs}{joints}concat=n={len(parts)}:v=0:a=1[a]"
    work = Work(
        sources=[((), part) for part in parts],
        outputs=["-filter_complex", graph, "-map", "[a]", *_ENCODERS[sound], path.name],
        seconds=seconds,
        folder=folder,
        limits=limits_for(seconds, room=1 << 30),
    )
    await tools.run(work)
    return path, (await tools.probe(path)).duration


def pieces(text: str, longest: int = MOST_CHARACTERS) -> list[str]:
    """A text in pieces of at most so many characters, cut between sentences, else between words, else anywhere."""
    found: list[str] = []
    for sentence in filter(None, map(str.strip, _SENTENCE.split(text))):
        for part in _cut(sentence, longest):
            if found and len(found[-1]) + 1 + len(part) <= longest:
                found[-1] += f" {part}"
            else:
                found.append(part)
    return found


def _cut(sentence: str, longest: int) -> list[str]:
    found: list[str] = []
    while len(sentence) > longest:
        at = sentence.rfind(" ", 1, longest + 1)
        at = at if at > 0 else longest
        found.append(sentence[:at].strip())
        sentence = sentence[at:].strip()
    return [*found, sentence] if sentence else found


class Price(msgspec.Struct, frozen=True):
    """Dollars for what was said."""

    each: float

    def __call__(self, spoken: Spoken) -> float:
        return self.each * spoken.characters
