"""`audio-synthesis` and `tts-process`: espeak-ng for real, the hosted ones against a server that their own SDKs accept."""

import array
import math
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tests.catalogue.tools import ENGINES, Studio, needs, studio
from tests.catalogue.tools_speech import KEY, FakeSpeech, fake_speech, sound
from tests.worker.kit import ended
from windlass import InvalidArgs, fixed
from windlass.catalogue.ffmpeg import Ffmpeg
from windlass.catalogue.settings import AiSettings, MediaSettings
from windlass.catalogue.speech import pieces

tools_are_here = needs("ffmpeg", "ffprobe", "espeak-ng")

TEXT = "A job queue runs work in the background."


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def fake() -> Iterator[FakeSpeech]:
    with fake_speech() as server:
        yield server


def hosted(fake: FakeSpeech, *names: str, **more: Any) -> dict[str, Any]:
    """Settings with these providers, in this order."""
    media = MediaSettings(
        speech_providers=names,
        elevenlabs_api_key=SecretStr(KEY),
        elevenlabs_base_url=fake.url,
        elevenlabs_voice="Rachel",
        **more,
    )
    return {"media": media, "ai": AiSettings(openai_api_key=SecretStr(KEY), openai_base_url=f"{fake.url}/v1")}


@pytest.mark.parametrize("kind", ["audio-synthesis", "tts-process"])
async def test_espeak_on_this_machine(engine: str, kind: str, tmp_path: Path) -> None:
    local = {"media": MediaSettings(speech_providers=("espeak-ng",))}
    async with studio(engine, tmp_path, "speech", **local) as it:
        found = await it.done(kind, text=TEXT, format="wav", userId="ada", realTime=True)
        assert (found["provider"], found["cost"], found["characters"]) == ("espeak-ng", 0, len(TEXT))
        file = tmp_path / "a.wav"
        await it.storage.download(found["artifact"]["key"], file)
        with wave.open(str(file)) as audio:
            seconds = audio.getnframes() / audio.getframerate()
            samples = array.array("h", audio.readframes(audio.getnframes()))
            assert math.sqrt(sum(value * value for value in samples) / len(samples)) > 300, "it is silent"
        assert 1.5 < seconds < 6
        assert math.isclose(found["duration"], seconds, abs_tol=0.05)
        again = await it.done(kind, text=TEXT, format="wav", userId="ada", realTime=True)
        assert again["reused"]
        assert again["artifact"] == found["artifact"]


@pytest.mark.slow
async def test_formats_languages_and_long_texts(tmp_path: Path) -> None:
    local = {"media": MediaSettings(speech_providers=("espeak-ng",))}
    async with studio(ENGINES[0], tmp_path, "speech", **local) as it:
        codecs = {"mp3": "mp3", "opus": "opus", "wav": "pcm_s16le"}
        for form, codec in codecs.items():
            found = await it.done("audio-synthesis", text=TEXT, format=form)
            file = tmp_path / "probed"
            await it.storage.download(found["artifact"]["key"], file)
            assert [stream.codec for stream in (await Ffmpeg().probe(file)).streams] == [codec]
        slow = await it.done("audio-synthesis", text=TEXT, speed=0.5)
        fast = await it.done("audio-synthesis", text=TEXT, speed=2)
        assert slow["duration"] > 2 * fast["duration"]
        german = await it.done("audio-synthesis", text="Guten Tag, wie geht es Ihnen?", language="de")
        assert german["duration"] > 1
        long = await it.done("audio-synthesis", text=f"{TEXT} " * 120)
        assert long["characters"] > 4000
        assert long["duration"] > 100
        assert not [each async for each in it.storage.list(f"{long['artifact']['key'].rpartition('/')[0]}/parts")]
        assert "no voice" in await it.refused("audio-synthesis", text=TEXT, provider="espeak-ng", voiceId="nosuchvoice")
        option = await it.done("audio-synthesis", text="--help -w /tmp/x; $(id) `id` <break/> [[h@]]")
        assert option["duration"] > 0.5, "a text is never an argument"


async def test_hosted_voices_and_their_price(engine: str, fake: FakeSpeech, tmp_path: Path) -> None:
    settings = hosted(fake, "elevenlabs", "openai", elevenlabs_price=0.001, speech_price=0.0001)
    async with studio(engine, tmp_path, "speech", **settings) as it:
        voice = {"voiceId": "21m00Tcm4TlvDq8ikWAM", "settings": {"stability": 0.4, "similarity": 0.7}, "speed": 1.1}
        found = await it.done("audio-synthesis", text=TEXT, **voice)
        assert (found["provider"], found["cost"]) == ("elevenlabs", round(len(TEXT) * 0.001, 6))
        asked = fake.asked[-1]
        assert asked.path.startswith("/v1/text-to-speech/21m00Tcm4TlvDq8ikWAM?output_format=mp3_44100_128")
        assert asked.fields["voice_settings"] == {"stability": 0.4, "similarity_boost": 0.7, "speed": 1.1}
        again = await it.done("audio-synthesis", text=TEXT, **voice)
        assert (again["reused"], again["cost"], len(fake.asked)) == (True, 0, 1), "paid for twice"
        more = await it.done("audio-synthesis", text=TEXT, provider="openai", voiceId="nova", speed=1.5)
        assert (more["provider"], more["cost"]) == ("openai", round(len(TEXT) * 0.0001, 6))
        assert fake.asked[-1].fields == {
            "model": "gpt-4o-mini-tts",
            "voice": "nova",
            "input": TEXT,
            "response_format": "mp3",
            "speed": 1.5,
        }


@pytest.mark.parametrize("fault", ["503", "quota", "cut", "empty"])
async def test_the_next_provider_speaks(fault: str, fake: FakeSpeech, tmp_path: Path) -> None:
    async with studio(ENGINES[0], tmp_path, "speech", **hosted(fake, "elevenlabs", "openai", "espeak-ng")) as it:
        fake.faults = [fault]
        found = await it.done("audio-synthesis", text=TEXT)
        assert found["provider"] == "openai"
        fake.faults = [fault, fault]
        found = await it.done("audio-synthesis", text=f"{TEXT} {fault}")
        assert found["provider"] == "espeak-ng"


async def test_faults_that_are_for_the_job_to_meet(fake: FakeSpeech, tmp_path: Path) -> None:
    async with studio(ENGINES[0], tmp_path, "speech", **hosted(fake, "elevenlabs")) as it:
        assert "voice_id missing" in await it.refused("audio-synthesis", text=TEXT, voiceId="missing")
        fake.faults = ["429"]
        ref = await it.handlers["audio-synthesis"].enqueue(text=TEXT)
        job = await ended(it.app, ref.id)
        assert job.state == "completed", job.error
        assert fake.count("text-to-speech") == 3
        breaker = await it.app.breakers.get("elevenlabs")
        assert (breaker.state, breaker.failures) == ("closed", 0), "a rate limit says nothing about its health"
    wrong = hosted(fake, "elevenlabs")
    wrong["media"] = wrong["media"].model_copy(update={"elevenlabs_api_key": SecretStr("bad-key")})
    async with studio(ENGINES[0], tmp_path / "2", "speech", **wrong) as it:
        said = await it.refused("audio-synthesis", text=TEXT)
        assert "401" in said
        assert "bad-key" not in said


async def test_an_answer_that_is_no_sound(fake: FakeSpeech, tmp_path: Path) -> None:
    async with studio(ENGINES[0], tmp_path, "speech", **hosted(fake, "openai")) as it:
        fake.faults = ["garbage"]
        ref = await it.handlers["audio-synthesis"].options(max_attempts=1).enqueue(text=TEXT)
        job = await ended(it.app, ref.id)
        assert job.state == "failed"
        assert job.error is not None
        assert "no sound" in job.error.message


async def test_parts_of_a_long_text_are_paid_for_once(fake: FakeSpeech, tmp_path: Path) -> None:
    async with studio(ENGINES[0], tmp_path, "speech", **hosted(fake, "openai")) as it:
        text = " ".join(f"Sentence {n} is one of many." for n in range(350))
        fake.faults = ["", "", "503"]
        options = it.handlers["audio-synthesis"].options(backoff=fixed(0.05))
        ref = await options.enqueue(text=text)
        job = await ended(it.app, ref.id, 60)
        assert job.state == "completed", job.error
        inputs = [asked.fields["input"] for asked in fake.asked]
        assert len(inputs) == len(set(inputs)) + 1, "only the one that failed was asked for again"
        assert " ".join(dict.fromkeys(inputs)) == text


async def test_what_is_refused(tmp_path: Path) -> None:
    local = {"media": MediaSettings(speech_providers=("espeak-ng",))}
    async with studio(ENGINES[0], tmp_path, "speech", **local) as it:
        await refused_before(it, text="")
        await refused_before(it, text="...")
        await refused_before(it, text="a\0b")
        await refused_before(it, text="a" * 100_001)
        await refused_before(it, text=TEXT, voiceId="../../x")
        await refused_before(it, text=TEXT, speed=100)
        await refused_before(it, text=TEXT, format="exe")
        assert "not set up" in await it.refused("audio-synthesis", text=TEXT, provider="elevenlabs")


async def refused_before(it: Studio, **fields: Any) -> None:
    with pytest.raises(InvalidArgs):
        await it.handlers["audio-synthesis"].enqueue(**fields)


def test_texts_are_cut_between_sentences() -> None:
    text = "One sentence. " * 100 + "word " * 500 + "x" * 900
    found = pieces(text, 400)
    assert all(len(piece) <= 400 for piece in found)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert found[0].endswith("sentence.")


@given(st.text(max_size=300), st.integers(1, 40))
def test_no_word_of_any_text_is_lost(text: str, longest: int) -> None:
    found = pieces(text, longest)
    assert all(0 < len(piece) <= longest for piece in found)
    assert "".join("".join(found).split()) == "".join(text.split())


class TestOracles:
    """The server is believed because the vendors' own libraries take its answers and raise their own errors."""

    def test_openai(self, fake: FakeSpeech) -> None:
        import openai

        with openai.OpenAI(base_url=f"{fake.url}/v1", api_key=KEY, max_retries=0) as client:
            spoken = client.audio.speech.create(model="gpt-4o-mini-tts", voice="alloy", input=TEXT)
            assert spoken.content == sound()
            heard = client.audio.transcriptions.create(
                model="whisper-1", file=("a.mp3", sound()), response_format="verbose_json"
            )
            assert heard.segments is not None
            assert [segment.end for segment in heard.segments] == [2.0, 4.0]
            plain = client.audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.mp3", sound()))
            assert plain.text.startswith("a job queue")
            for fault, error in (
                ("429", openai.RateLimitError),
                ("quota", openai.RateLimitError),
                ("503", openai.InternalServerError),
                ("cut", openai.APIConnectionError),
            ):
                fake.faults = [fault]
                with pytest.raises(error) as caught:
                    client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT)
                if fault == "quota":
                    assert caught.value.code == "insufficient_quota"
            with pytest.raises(openai.BadRequestError):
                client.audio.speech.create(model="tts-1", voice="alloy", input="a" * 5000)
            stranger = client.with_options(api_key="bad")
            with pytest.raises(openai.AuthenticationError):
                stranger.audio.speech.create(model="tts-1", voice="alloy", input=TEXT)

    def test_elevenlabs(self, fake: FakeSpeech) -> None:
        import httpx
        from elevenlabs.client import ElevenLabs
        from elevenlabs.core.api_error import ApiError
        from elevenlabs.errors import UnprocessableEntityError

        with httpx.Client() as http:
            client = ElevenLabs(base_url=fake.url, api_key=KEY, httpx_client=http)
            assert b"".join(client.text_to_speech.convert("Rachel", text=TEXT)) == sound()
            with pytest.raises(UnprocessableEntityError):
                b"".join(client.text_to_speech.convert("Rachel", text=""))
            with pytest.raises(ApiError) as caught:
                b"".join(client.text_to_speech.convert("missing", text=TEXT))
            assert caught.value.status_code == 404
            fake.faults = ["quota"]
            with pytest.raises(ApiError) as caught:
                b"".join(client.text_to_speech.convert("Rachel", text=TEXT))
            assert caught.value.body["detail"]["status"] == "quota_exceeded"
            stranger = ElevenLabs(base_url=fake.url, api_key="bad", httpx_client=http)
            with pytest.raises(ApiError) as caught:
                b"".join(stranger.text_to_speech.convert("Rachel", text=TEXT))
            assert caught.value.status_code == 401
