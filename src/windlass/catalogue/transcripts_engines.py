"""Who writes down what is said: an OpenAI-compatible service, faster-whisper or pocketsphinx in processes of their own."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from windlass import WindlassError
from windlass.catalogue.confined import Limits, ProgramFailed, run, script
from windlass.catalogue.ffmpeg import Ffmpeg, Work, limits_for
from windlass.catalogue.installing import Kit
from windlass.catalogue.speech_http import BadAnswer, NotSetUp, Service
from windlass.catalogue.speech_kinds import listeners
from windlass.catalogue.subtitles import Segment, Transcript, shifted
from windlass.catalogue.video import tools_of
from windlass.providers import Chain, Provider

_HERE = Path(__file__).parent
_PIECE = 1200.0
"""Seconds of one request: at 32 kbit/s that is 5 MB, and hosted services take 25."""
_LOOK_BACK = 60.0
"""Seconds before the end of a piece in which a silence to cut at is looked for."""

Heard = Callable[[float], object]


class OnlyEnglish(WindlassError, ValueError):
    """The offline recogniser knows English and nothing else."""

    code = "only-english"
    retryable = False


class Hearing(msgspec.Struct, frozen=True):
    """What is to be written down. `source`: 16 kHz, mono, 16 bits. `vocabulary`: phrases that may occur; `grammar`: all
    sentences that can occur."""

    source: Path
    seconds: float
    folder: Path
    language: str = ""
    vocabulary: tuple[str, ...] = ()
    grammar: tuple[str, ...] = ()


class Written(msgspec.Struct, frozen=True):
    """A transcript, and how many minutes are paid for."""

    transcript: Transcript
    minutes: float


class Ear:
    """The chain of providers of one app's settings."""

    def __init__(self, kit: Kit) -> None:
        media, ai = kit.settings.media, kit.settings.ai
        self._media = media
        self._tools = tools_of(kit)
        self.names = listeners(kit.settings)
        key = ai.openai_api_key.get_secret_value()
        headers = {"authorization": f"Bearer {key}"} if key else {}
        sole = len(self.names) == 1
        self._openai = Service("openai", ai.openai_base_url.rstrip("/"), headers, timeout=600.0, sole=sole)
        self._price = media.transcript_price
        self._chains: dict[str, Chain] = {}

    def chain(self, wanted: str, language: str) -> Chain:
        """Who is asked: the one that is named, or all that know the language. Raises `NotSetUp` where there is nobody."""
        names = [wanted] if wanted else self.names
        if not wanted and not _is_english(language):
            names = [name for name in names if name != "pocketsphinx"] or names
        if not names or any(name not in self.names for name in names):
            raise NotSetUp(
                f"the transcript provider {wanted or '(any)'} is not set up here; there are: {', '.join(self.names) or 'none'}",
                field="WINDLASS_TRANSCRIPT_PROVIDERS",
                mend="pip install 'windlass[speech]', or set OPENAI_API_KEY or WINDLASS_WHISPER_MODEL",
            )
        key = " ".join(names)
        if key not in self._chains:
            self._chains[key] = Chain([Provider(name, cost=_price(self._price, name)) for name in names])
        return self._chains[key]

    async def write(self, provider: Provider, hearing: Hearing, heard: Heard) -> Written:
        """All of it by one provider."""
        if provider.name == "openai":
            return await self._by_openai(hearing, heard)
        if provider.name == "faster-whisper":
            model = str(self._media.whisper_model)
            return await self._by_child("transcripts_whisper.py", provider.name, hearing, heard, model=model)
        if not _is_english(hearing.language):
            raise OnlyEnglish(f"pocketsphinx knows English only, and this is {hearing.language}")
        return await self._by_child("speech_child.py", provider.name, hearing, heard)

    async def _by_child(self, name: str, provider: str, hearing: Hearing, heard: Heard, **more: str) -> Written:
        lines: list[dict[str, Any]] = []

        def listen(line: str) -> bool:
            try:
                found = json.loads(line)
            except ValueError:  # a library's own chatter
                return False
            lines.append(found)
            if "at" in found and hearing.seconds:
                heard(min(1.0, found["at"] / hearing.seconds))
            return True

        request = {**msgspec.to_builtins(hearing, enc_hook=str), **more}
        timeout = max(120.0, 3 * hearing.seconds)
        limits = Limits(timeout=timeout, cpu=int(4 * timeout), memory=0, file=64 << 20)
        done = await run(script(_HERE / name), limits=limits, given=json.dumps(request).encode(), on_line=listen)
        end = next((line for line in lines if "done" in line), None)
        if done.code or end is None:
            raise ProgramFailed(f"{provider} failed: {done.said[-300:]}", program=provider, exit=done.code)
        segments = [Segment(**line["segment"]) for line in lines if line.get("segment", {}).get("text")]
        language = str(end.get("language") or hearing.language or "en")
        return Written(Transcript(language, provider, tuple(segments)), hearing.seconds / 60)

    async def _by_openai(self, hearing: Hearing, heard: Heard) -> Written:
        segments: list[Segment] = []
        language = hearing.language
        cuts = await self._cuts(hearing)
        for number, (start, end) in enumerate(cuts):
            path = hearing.folder / f"piece{number}.mp3"
            await self._packed(hearing, start, end, path)
            answer = await self._openai.transcript("/audio/transcriptions", self._fields(hearing), path)
            found = _segments(answer, end - start)
            segments += shifted(found, start)
            language = language or str(answer.get("language") or "")
            heard((number + 1) / len(cuts))
        return Written(Transcript(language, "openai", tuple(segments)), hearing.seconds / 60)

    def _fields(self, hearing: Hearing) -> dict[str, Any]:
        model = self._media.transcript_model
        # Only whisper tells times; the newer models of the same service answer plain JSON.
        fields: dict[str, Any] = {"model": model, "response_format": "json"}
        if "whisper" in model:
            fields |= {"response_format": "verbose_json", "timestamp_granularities[]": "segment"}
        if hearing.language:
            fields["language"] = hearing.language.partition("-")[0].lower()
        phrases = (*hearing.grammar, *hearing.vocabulary)
        if phrases:
            fields["prompt"] = ", ".join(phrases)[:800]
        return fields

    async def _cuts(self, hearing: Hearing) -> list[tuple[float, float]]:
        """The pieces, cut in silences where there are any."""
        if hearing.seconds <= _PIECE:
            return [(0.0, hearing.seconds)]
        quiet = await _silences(self._tools, hearing)
        found: list[tuple[float, float]] = []
        start = 0.0
        while hearing.seconds - start > _PIECE:
            latest = start + _PIECE
            end = max((at for at in quiet if latest - _LOOK_BACK <= at <= latest), default=latest)
            found.append((start, end))
            start = end
        return [*found, (start, hearing.seconds)]

    async def _packed(self, hearing: Hearing, start: float, end: float, path: Path) -> None:
        work = Work(
            sources=[(("-ss", f"{start:.3f}", "-t", f"{end - start:.3f}"), hearing.source)],
            outputs=["-c:a", "libmp3lame", "-b:a", "32k", path.name],
            folder=path.parent,
            limits=limits_for(end - start, room=64 << 20),
        )
        await self._tools.run(work)


def _is_english(language: str) -> bool:
    return language.partition("-")[0].lower() in ("", "en", "eng")


async def _silences(tools: Ffmpeg, hearing: Hearing) -> list[float]:
    """The middles of silences of half a second and more."""
    work = Work(
        sources=[((), hearing.source)],
        outputs=["-af", "silencedetect=noise=-35dB:d=0.5,ametadata=mode=print:file=quiet.txt", "-f", "null", "-"],
        folder=hearing.folder,
        limits=limits_for(hearing.seconds, room=64 << 20),
    )
    await tools.run(work)
    return _middles((hearing.folder / "quiet.txt").read_text())


def _middles(text: str) -> list[float]:
    marks = [line.partition("=") for line in text.splitlines() if line.startswith("lavfi.silence_")]
    starts = [float(value) for name, _, value in marks if name.endswith("_start")]
    ends = [float(value) for name, _, value in marks if name.endswith("_end")]
    return [(start + end) / 2 for start, end in zip(starts, ends, strict=False)]


def _segments(answer: dict[str, Any], seconds: float) -> list[Segment]:
    """Those of the answer; where it has only text, one that is as long as the sound."""
    given = answer.get("segments")
    text = answer.get("text")
    try:
        if isinstance(given, list):
            return [_segment(each) for each in cast("Sequence[dict[str, Any]]", given) if str(each["text"]).strip()]
        if isinstance(text, str):
            return [Segment(0.0, seconds, text.strip())] if text.strip() else []
    except (KeyError, TypeError, ValueError) as error:
        raise BadAnswer(f"openai answered segments that cannot be read: {error!r}", provider="openai") from error
    raise BadAnswer("openai answered no text", provider="openai")


def _segment(each: dict[str, Any]) -> Segment:
    chance = each.get("avg_logprob")
    confidence = None if chance is None else round(math.exp(min(0.0, float(chance))), 4)
    return Segment(float(each["start"]), float(each["end"]), str(each["text"]).strip(), confidence)


class Price(msgspec.Struct, frozen=True):
    """Dollars for minutes."""

    each: float

    def __call__(self, written: Written) -> float:
        return self.each * written.minutes


def _price(each: float, name: str) -> Price:
    return Price(each if name == "openai" else 0.0)
