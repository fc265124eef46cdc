"""The kinds of job for speech: from text, and to text."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from windlass.catalogue.kinds import Kind, Lack
from windlass.catalogue.readiness import find_binary, has_module, need_binary

if TYPE_CHECKING:
    from windlass.catalogue.settings import CatalogueSettings


def speakers(settings: "CatalogueSettings") -> list[str]:
    """Who can speak here, in the order in which they are asked."""
    media = settings.media
    there = {
        "elevenlabs": bool(media.elevenlabs_api_key.get_secret_value()),
        "openai": has_openai(settings),
        "espeak-ng": find_binary("espeak-ng", media.espeak) is not None,
    }
    return [name for name in media.speech_providers if there.get(name)]


def listeners(settings: "CatalogueSettings") -> list[str]:
    """Who can write down here what is said, in the order in which they are asked."""
    media = settings.media
    there = {
        "openai": has_openai(settings),
        "faster-whisper": media.whisper_model is not None and has_module("faster_whisper"),
        "pocketsphinx": has_module("pocketsphinx"),
    }
    return [name for name in media.transcript_providers if there.get(name)]


def has_openai(settings: "CatalogueSettings") -> bool:
    """Whether a key is there, or a service of one's own, which may need none."""
    own = settings.ai.openai_base_url.rstrip("/") != "https://api.openai.com/v1"
    return own or bool(settings.ai.openai_api_key.get_secret_value())


def _programs(settings: "CatalogueSettings") -> Iterable[Lack]:
    yield from need_binary("ffmpeg", settings.media.ffmpeg, "WINDLASS_FFMPEG", "ffmpeg")
    yield from need_binary("ffprobe", settings.media.ffprobe, "WINDLASS_FFPROBE", "ffmpeg")


def _speech(settings: "CatalogueSettings") -> Iterable[Lack]:
    yield from _programs(settings)
    if not speakers(settings):
        yield from need_binary("espeak-ng", settings.media.espeak, "WINDLASS_ESPEAK", "espeak-ng")


KINDS = (
    *(
        Kind(
            name=name,
            family="speech",
            purpose="Speak a text: ElevenLabs, an OpenAI-compatible service, or espeak-ng on this machine",
            handler="windlass.catalogue.audio:speak",
            input="windlass.catalogue.audio:SpeechInput",
            output="windlass.catalogue.audio:SpeechOutput",
            extra="media",
            modules=("obstore", "httpx2"),
            needs=_speech,
            effect="same keys; a voice that was paid for is used again",
            options={"timeout": "15m"},
        )
        for name in ("audio-synthesis", "tts-process")
    ),
    Kind(
        name="generate-transcript",
        family="speech",
        purpose="Write down what is said: subtitles inside, an OpenAI-compatible service, faster-whisper or pocketsphinx",
        handler="windlass.catalogue.transcripts:transcribe",
        input="windlass.catalogue.transcripts:TranscriptInput",
        output="windlass.catalogue.transcripts:TranscriptOutput",
        extra="media",
        modules=("obstore", "httpx2"),
        needs=_programs,
        effect="same keys; a transcript that was paid for is used again",
        options={"timeout": "8h"},
    ),
)
