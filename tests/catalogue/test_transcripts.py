"""`generate-transcript`: subtitles inside, real pocketsphinx on real speech, the hosted service, and files that hold no words."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tests.catalogue.test_video import film
from tests.catalogue.tools import ENGINES, needs, studio
from tests.catalogue.tools_speech import KEY, FakeSpeech, fake_speech
from windlass import InvalidArgs
from windlass.catalogue import speech_model, transcripts_engines
from windlass.catalogue.settings import AiSettings, MediaSettings
from windlass.catalogue.subtitles import Segment, Transcript, read, written

tools_are_here = needs("ffmpeg", "ffprobe", "espeak-ng", "pocketsphinx")

SENTENCES = [
    "A job queue runs work in the background.",
    "Every job is kept until it is done.",
    "If a worker dies another one takes over.",
    "Failed jobs go to the dead letters.",
]
LOCAL = {"media": MediaSettings(transcript_providers=("pocketsphinx",))}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def fake() -> Iterator[FakeSpeech]:
    with fake_speech() as server:
        yield server


def hosted(fake: FakeSpeech, *names: str, **more: Any) -> dict[str, Any]:
    return {
        "media": MediaSettings(transcript_providers=names, **more),
        "ai": AiSettings(openai_api_key=SecretStr(KEY), openai_base_url=f"{fake.url}/v1"),
    }


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sentences, spoken, with pauses, under a picture."""
    folder = tmp_path_factory.mktemp("talk")
    inputs: list[str] = []
    for number, sentence in enumerate(SENTENCES):
        part = folder / f"{number}.wav"
        subprocess.run(["espeak-ng", "-v", "en-us", "-s", "140", "-w", str(part), sentence], check=True)
        inputs += ["-i", str(part)]
    count = len(SENTENCES)
    graph = "".join(f"[{n}:a]apad=pad_dur=0.6[a{n}];" for n in range(count))
    graph += "".join(f"[a{n}]" for n in range(count)) + f"concat=n={count}:v=0:a=1[a]"
    path = folder / "talk.mp4"
    picture = ["-f", "lavfi", "-i", "color=c=navy:s=320x180:r=5"]
    command = [
        "ffmpeg",
        "-v",
        "error",
        *inputs,
        *picture,
        "-filter_complex",
        graph,
        "-map",
        f"{count}:v",
        "-map",
        "[a]",
    ]
    subprocess.run(
        [*command, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-shortest", str(path)], check=True
    )
    return path


def errors(said: str, meant: str) -> float:
    """The share of words that are wrong, missing or too many."""
    heard, words = speech_model.words_of(said), speech_model.words_of(meant)
    row = list(range(len(heard) + 1))
    for i, word in enumerate(words, 1):
        above = row[:]
        row[0] = i
        for j, other in enumerate(heard, 1):
            row[j] = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (word != other))
    return row[-1] / len(words)


async def test_speech_on_this_machine(engine: str, talk: Path, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "speech", **LOCAL) as it:
        key = await it.put("talk.mp4", talk)
        fields = {"contentId": "c", "videoPath": key, "userId": "ada", "language": "en"}
        found = await it.done("generate-transcript", **fields, grammar=SENTENCES)
        assert (found["provider"], found["segments"], found["cost"]) == ("pocketsphinx", 4, 0)
        assert errors(found["text"], " ".join(SENTENCES)) == 0
        srt = (await it.read(found["artifacts"]["srt"]["key"])).decode()
        assert [speech_model.words_of(each.text) for each in read(srt)] == [speech_model.words_of(s) for s in SENTENCES]
        assert (await it.read(found["artifacts"]["vtt"]["key"])).startswith(b"WEBVTT\n\n00:00:0")
        whole = json.loads(await it.read(found["artifacts"]["json"]["key"]))
        assert whole["segments"][1]["start"] > whole["segments"][0]["end"]
        again = await it.done("generate-transcript", **{**fields, "contentId": "d"}, grammar=SENTENCES)
        assert (again["reused"], again["content_id"]) == (True, "d")
        loose = await it.done("generate-transcript", **fields, vocabulary=SENTENCES, formats=["txt"])
        assert errors(loose["text"], " ".join(SENTENCES)) < 0.5
        assert list(loose["artifacts"]) == ["txt"]


async def test_subtitles_inside_are_taken_as_they_are(engine: str, talk: Path, tmp_path: Path) -> None:
    segments = tuple(Segment(n * 2.0, n * 2.0 + 1.5, f"Line {n} of R&D") for n in range(3))
    english, german = tmp_path / "en.srt", tmp_path / "de.srt"
    english.write_text(written(Transcript("en", "", segments), "srt"))
    german.write_text("1\n00:00:00,000 --> 00:00:01,000\nHallo\n")
    film_with = tmp_path / "with.mkv"
    languages = ["-metadata:s:s:0", "language=ger", "-metadata:s:s:1", "language=eng"]
    command = ["ffmpeg", "-v", "error", "-i", talk, "-i", german, "-i", english, "-map", "0", "-map", "1", "-map", "2"]
    await asyncio.to_thread(subprocess.run, [*command, "-c", "copy", *languages, film_with], check=True)
    async with studio(engine, tmp_path, "speech", **LOCAL) as it:
        key = await it.put("with.mkv", film_with)
        found = await it.done("generate-transcript", contentId="c", mediaKey=key, userId="ada")
        assert found["provider"] == "embedded"
        inside = read((await it.read(found["artifacts"]["srt"]["key"])).decode())
        assert [each.text for each in inside] == [each.text for each in segments]
        assert [each.start for each in inside] == pytest.approx([each.start for each in segments], abs=0.1)
        other = await it.done("generate-transcript", contentId="c", mediaKey=key, userId="ada", language="de")
        assert other["text"] == "Hallo"


async def test_the_hosted_service(engine: str, fake: FakeSpeech, talk: Path, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "speech", **hosted(fake, "openai", "pocketsphinx", transcript_price=0.6)) as it:
        key = await it.put("talk.mp4", talk)
        fields = {"contentId": "c", "videoPath": key, "userId": "ada"}
        found = await it.done("generate-transcript", **fields, language="en-GB", vocabulary=["dead letters"])
        assert (found["provider"], found["segments"]) == ("openai", 2)
        assert found["text"] == "a job queue runs work in the background"
        assert found["cost"] == pytest.approx(0.6 * found["duration"] / 60, rel=0.15)
        asked = fake.asked[-1].fields
        assert asked["file"].startswith((b"ID3", b"\xff\xfb", b"\xff\xf3"))
        del asked["file"]
        how = {"model": "whisper-1", "response_format": "verbose_json", "timestamp_granularities[]": "segment"}
        assert asked == how | {"language": "en", "prompt": "dead letters"}
        fake.faults = ["503"]
        other = await it.done("generate-transcript", **fields, grammar=SENTENCES)
        assert other["provider"] == "pocketsphinx", "the next one hears"
        fake.faults = ["garbage"]
        third = await it.done("generate-transcript", **fields, grammar=SENTENCES[:2], formats=["txt"])
        assert third["provider"] == "pocketsphinx"


async def test_models_without_times(fake: FakeSpeech, talk: Path, tmp_path: Path) -> None:
    async with studio(
        ENGINES[0], tmp_path, "speech", **hosted(fake, "openai", transcript_model="gpt-4o-transcribe")
    ) as it:
        key = await it.put("talk.mp4", talk)
        found = await it.done("generate-transcript", contentId="c", videoPath=key, userId="ada", formats=["vtt"])
        assert found["segments"] == 1
        assert fake.asked[-1].fields["response_format"] == "json"


async def test_long_sound_is_cut_in_silences(
    fake: FakeSpeech, talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcripts_engines, "_PIECE", 6.0)
    async with studio(ENGINES[0], tmp_path, "speech", **hosted(fake, "openai")) as it:
        key = await it.put("talk.mp4", talk)
        found = await it.done("generate-transcript", contentId="c", videoPath=key, userId="ada", formats=["json"])
        assert fake.count("transcriptions") == 4
        whole = json.loads(await it.read(found["artifacts"]["json"]["key"]))
        starts = [segment["start"] for segment in whole["segments"]]
        assert starts == sorted(starts)
        cut = starts[2]
        assert 2.5 < cut < 3.6, "not in the first pause"


async def test_what_is_refused(engine: str, talk: Path, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "speech", **LOCAL) as it:
        silent = await it.put("silent.mp4", film(tmp_path / "silent.mp4", 1, "160x120", sound=False))
        fields = {"contentId": "c", "userId": "ada"}
        assert "holds no sound" in await it.refused("generate-transcript", **fields, videoPath=silent)
        broken = await it.put("broken.mp4", b"not a video" * 100)
        assert "cannot read" in await it.refused("generate-transcript", **fields, videoPath=broken)
        key = await it.put("talk.mp4", talk)
        assert "English only" in await it.refused("generate-transcript", **fields, videoPath=key, language="fr")
        said = await it.refused("generate-transcript", **fields, videoPath=key, provider="embedded")
        assert "no subtitles" in said
        theirs = await it.put("talk.mp4", talk, user="eve")
        assert "not a file of ada" in await it.refused("generate-transcript", **fields, videoPath=theirs)
        said = await it.refused("generate-transcript", **fields, videoUrl="http://10.0.0.1/a.mp4")
        assert "AddressRefused" in said
        for more in ({}, {"videoPath": key, "mediaKey": key}, {"videoPath": key, "formats": ["doc"]}):
            with pytest.raises(InvalidArgs):
                await it.handlers["generate-transcript"].enqueue(**fields, **more)


async def test_nobody_who_can_hear(talk: Path, tmp_path: Path) -> None:
    async with studio(ENGINES[0], tmp_path, "speech", media=MediaSettings(transcript_providers=())) as it:
        key = await it.put("talk.mp4", talk)
        said = await it.refused("generate-transcript", contentId="c", videoPath=key, userId="ada")
        assert "there are: none" in said


def test_faster_whisper_is_asked_as_it_wants_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No model is here to run it for real: this holds our side to the library's documented calls."""
    import io
    from types import SimpleNamespace as Thing

    from windlass.catalogue import transcripts_whisper

    class WhisperModel:
        def __init__(self, path: str, *, device: str, compute_type: str, local_files_only: bool) -> None:
            assert (path, local_files_only) == ("/models/small", True)

        def transcribe(self, audio: str, *, language: Any, initial_prompt: Any, vad_filter: bool) -> Any:
            assert (audio, language, initial_prompt) == ("a.wav", "en", "dead letters")
            return iter([Thing(start=0.0, end=1.0, text=" hello", avg_logprob=-0.1)]), Thing(language="en")

    monkeypatch.setitem(sys.modules, "faster_whisper", Thing(WhisperModel=WhisperModel))
    request = {"model": "/models/small", "source": "a.wav", "language": "en-GB", "vocabulary": ["dead letters"]}
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(request)))
    transcripts_whisper.main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["segment"]["text"] == "hello"
    assert lines[-1] == {"done": True, "language": "en", "unknown": []}


def test_formats_are_read_back_as_they_were_written() -> None:
    segments = (
        Segment(0.0, 1.25, "Short & <sweet>"),
        Segment(3661.001, 3662.5, "a long line " * 12),
        Segment(3700.0, 3701.0, "an arrow --> inside"),
    )
    made = Transcript("en", "test", segments)
    for form in ("srt", "vtt"):
        text = written(made, form)  # type: ignore[arg-type]
        back = read(text)
        assert [(each.start, each.end) for each in back] == [(each.start, each.end) for each in segments]
        assert back[1].text == " ".join(segments[1].text.split())
        assert max(map(len, text.splitlines())) < 60
    assert "Short & <sweet>" in written(made, "srt")
    assert "Short &amp; &lt;sweet>" in written(made, "vtt")
    assert written(made, "txt").count("\n\n") == 2
    assert read("garbage") == []
    assert read("\ufeff1\r\n00:00:01,000 --> 00:00:02,000\r\n<i>Hi</i> {\\an8}there\r\n") == [
        Segment(1.0, 2.0, "Hi there")
    ]


lines_of_text = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=200).filter(
    lambda text: bool(text.split()) and not set("<>{}&") & set(text) and "-->" not in text
)


@given(st.lists(st.tuples(st.integers(0, 5_000_000), st.integers(1, 60_000), lines_of_text), max_size=8))
def test_any_segments_come_back(made: list[tuple[int, int, str]]) -> None:
    segments = tuple(Segment(start / 1000, (start + long) / 1000, " ".join(text.split())) for start, long, text in made)
    for form in ("srt", "vtt"):
        assert read(written(Transcript("en", "test", segments), form)) == list(segments)  # type: ignore[arg-type]


def test_the_small_language() -> None:
    assert speech_model.words_of("Don't stop at 42 – it’s 7!") == [
        "don't",
        "stop",
        "at",
        "forty",
        "two",
        "it's",
        "seven",
    ]
    text, unknown = speech_model.dictionary({"job", "zzyzzx"}, ["job JH AA B\n", "job(2) JH OW B\n", "jobs X\n"])
    assert (text, unknown) == ("job JH AA B\njob(2) JH OW B\n", {"zzyzzx"})
    assert "public <said> = ( a b ) | ( c ) ;" in speech_model.jsgf([["a", "b"], [], ["c"]])
    assert "ngram 2=3" in speech_model.arpa([["a", "b"]])
