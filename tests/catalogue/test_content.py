"""`generate-content`: posts that fit their platforms, by models whose fakes the vendors' SDKs accept, and without any."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tests.catalogue.tools import ENGINES, need, studio
from tests.catalogue.tools_models import KEY, FakeModels, fake_models
from windlass.catalogue.content_extract import extract, sentences
from windlass.catalogue.content_limits import LIMITS, Platform, fit, hashtag, length_of
from windlass.catalogue.content_models import SCHEMA
from windlass.catalogue.settings import AiSettings
from windlass.errors import InvalidArgs

need("obstore", "httpx2")

TEXT = (
    "Queues let work wait its turn. A job queue stores each job before anybody works on it, so a crash loses no job. "
    "Workers take jobs under a lease. When a worker dies, its lease lapses and another worker takes the job over! "
    "It rained on Tuesday. Is that enough? Jobs that fail for good become dead letters, and a person looks at them."
)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def fake() -> Iterator[FakeModels]:
    with fake_models() as made:
        yield made


def models(fake: FakeModels, *names: str, key: str = KEY) -> dict[str, Any]:
    """Settings with both services, asked in this order; prices of a dollar and two for a thousand tokens."""
    secret = SecretStr(key)
    ai = AiSettings(
        content_providers=names, openai_api_key=secret, openai_base_url=f"{fake.url}/v1", openai_model="gpt-x",
        anthropic_api_key=secret, anthropic_base_url=fake.url, anthropic_model="claude-x",
        openai_price_input=1_000, openai_price_output=2_000, anthropic_price_input=3_000, anthropic_price_output=4_000,
    )  # fmt: skip
    return {"ai": ai}


GIVEN: dict[str, Any] = {"contentId": "c1", "text": TEXT, "user": {"_id": "ada"}}


async def test_without_a_model(engine: str, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "content") as it:
        found = await it.done("generate-content", **GIVEN, platforms=["twitter", "linkedin", "threads"], variants=2)
        assert (found["provider"], found["quality"], found["cost"]) == ("extractive", "basic", 0)
        for platform, posts in found["posts"].items():
            assert len(posts) == 2 and posts[0]["text"] != posts[1]["text"]
            for post in posts:
                assert 0 < post["length"] <= LIMITS[platform].length
                body = post["text"].partition("\n\n#")[0]
                assert all(part in TEXT for part in sentences(body)), "nothing is invented"
        assert "job" in found["keywords"] and found["posts"]["twitter"][0]["hashtags"]
        assert "rained" not in found["summary"]
        kept = json.loads(await it.read(found["artifacts"]["json"]["key"]))
        assert kept["posts"] == found["posts"] and found["artifacts"]["json"]["key"].startswith(
            "t/default/u/ada/content/"
        )
        other = {**GIVEN, "contentId": "c2", "platforms": ["threads", "twitter", "linkedin"], "variants": 2}
        again = await it.done("generate-content", **other)
        assert again == {**found, "content_id": "c2", "reused": True}


@pytest.mark.parametrize(("name", "cost"), [("openai", 2.0), ("anthropic", 5.0)])
async def test_by_a_model(engine: str, fake: FakeModels, name: str, cost: float, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "content", **models(fake, name)) as it:
        found = await it.done("generate-content", **GIVEN, tone="dry", brandVoice="we", hashtagsMax=2, skipCache=True)
        assert (found["provider"], found["quality"], found["tokens"]) == (name, "model", [1_000, 500])
        assert found["cost"] == cost
        [tweet] = found["posts"]["twitter"]
        assert tweet["text"] == "Jobs, done once.\n\n#Queue #Jobs" and tweet["hashtags"] == ["#Queue", "#Jobs"]
        assert tweet["media_hint"] == "a wheel"
        assert found["posts"]["linkedin"][0]["length"] <= 3_000, "the model wrote 4,000"
        [asked] = fake.asked
        text = json.dumps(asked)
        assert "dry" in text and "Queues let work wait" in text and asked["model"] == found["model"]
        # A second time it costs nothing; of other wishes it does.
        again = await it.done("generate-content", **GIVEN, tone="dry", brandVoice="we", hashtagsMax=2)
        assert (again["reused"], again["cost"], len(fake.asked)) == (True, 0, 1)
        await it.done("generate-content", **GIVEN, tone="loud")
        assert len(fake.asked) == 2


@pytest.mark.parametrize("name", ["openai", "anthropic"])
@pytest.mark.parametrize("fault", ["prose", "half", "short"])
async def test_one_repair(fake: FakeModels, name: str, fault: str, tmp_path: Path) -> None:
    async with studio(ENGINES[0], tmp_path, "content", **models(fake, name, "extractive")) as it:
        fake.faults = [fault]
        found = await it.done("generate-content", **GIVEN)
        assert (found["provider"], found["tokens"]) == (name, [2_000, 1_000])
        assert "not what was asked for" in fake.asked[-1]["messages"][-1]["content"]
        # Twice is too often: the next one writes, and what was paid is told.
        fake.faults = [fault, fault]
        found = await it.done("generate-content", **GIVEN, skipCache=True)
        assert (found["provider"], found["quality"]) == ("extractive", "basic")
        assert found["cost"] == {"openai": 4.0, "anthropic": 10.0}[name]


async def test_fences_and_who_is_next(fake: FakeModels, tmp_path: Path) -> None:
    async with studio(ENGINES[0], tmp_path, "content", **models(fake, "anthropic", "openai")) as it:
        for fault in ("429", "quota", "overloaded", "cut"):
            fake.faults = [fault, "fenced"]
            found = await it.done("generate-content", **GIVEN, skipCache=True)
            assert found["provider"] == "openai", fault
            await it.app.breakers.reset("anthropic", actor="test")


async def test_what_is_refused(engine: str, fake: FakeModels, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "content", **models(fake, "openai", "anthropic")) as it:
        fake.faults = ["refusal"]
        assert (await it.refused("generate-content", **GIVEN)).startswith("Declined")
        fake.faults = ["refusal"]
        assert "Declined" in await it.refused("generate-content", **GIVEN, provider="anthropic")
        said = await it.refused("generate-content", **GIVEN, maxCost=0.5)
        assert said.startswith("TooDear") and "maxCost is 0.5" in said
        assert "not set up" in await it.refused("generate-content", **GIVEN, provider="extractive")
        theirs = await it.put("talk.txt", b"Some text.", user="eve")
        given = {"contentId": "c", "user": {"_id": "ada"}}
        assert "NotOwner" in await it.refused("generate-content", **given, transcriptKey=theirs)
        missing = theirs.replace("eve", "ada")
        assert "NoSuchFile" in await it.refused("generate-content", **given, transcriptKey=missing)
        for name, data in (
            ("a.txt", b"\xff\xfe\x00"),
            ("b.txt", b"  "),
            ("c.json", b'{"a": 1}'),
            ("d.srt", b"nothing"),
        ):
            key = await it.put(name, data)
            assert "NoText" in await it.refused("generate-content", **given, transcriptKey=key)
    async with studio(engine, tmp_path, "content", **models(fake, "openai", key="bad")) as it:
        said = await it.refused("generate-content", **GIVEN)
        assert "answered 401: Incorrect API key" in said and "bad" not in said


async def test_transcripts(engine: str, tmp_path: Path) -> None:
    files = {
        "talk.txt": TEXT.encode(),
        "talk.json": json.dumps({"segments": [{"text": part} for part in sentences(TEXT)]}).encode(),
        "talk.srt": f"1\n00:00:00,000 --> 00:00:09,000\n{TEXT}\n".encode(),
    }
    async with studio(engine, tmp_path, "content") as it:
        found = []
        for name, data in files.items():
            key = await it.put(name, data)
            found.append(await it.done("generate-content", contentId="c", userId="ada", transcriptKey=key))
        assert found[0]["posts"] == found[1]["posts"] == found[2]["posts"]


async def test_a_transcript_without_full_stops_ends_its_sentences_at_its_pauses(tmp_path: Path) -> None:
    said = ["a job queue runs work in the background", "when a worker dies another takes its jobs over", "it rained"]
    cues = [f"00:00:0{n}.000 --> 00:00:0{n + 1}.000\n{text}\n" for n, text in enumerate(said)]
    files = {
        "talk.vtt": "WEBVTT\n\n" + "\n".join(cues),
        "talk.json": json.dumps({"segments": [{"text": text} for text in said]}),
    }
    async with studio("sqlite-file", tmp_path, "content") as it:
        for name, text in files.items():
            key = await it.put(name, text.encode())
            found = await it.done("generate-content", contentId="c", userId="ada", transcriptKey=key)
            assert found["posts"]["twitter"][0]["text"].partition("\n\n#")[0] in said, name


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"text": "  "},
        {"text": "a", "transcriptKey": "b"},
        {"text": "a" * 200_001},
        {"text": "a", "platforms": []},
        {"text": "a", "platforms": ["myspace"]},
        {"text": "a", "variants": 6},
        {"text": "a", "language": "../en"},
        {"text": "a", "provider": "grandma"},
    ],
)
async def test_bad_inputs_are_refused_when_they_are_enqueued(bad: dict[str, Any], tmp_path: Path) -> None:
    async with studio(ENGINES[0], tmp_path, "content", worker=False) as it:
        with pytest.raises(InvalidArgs):
            await it.handlers["generate-content"].enqueue(contentId="c", **bad)


async def test_we_introduce_ourselves_as_the_vendors_do(fake: FakeModels, tmp_path: Path) -> None:
    import anthropic
    import openai

    async with studio(ENGINES[0], tmp_path, "content", **models(fake, "openai", "anthropic")) as it:
        for name in ("openai", "anthropic"):
            await it.done("generate-content", **GIVEN, provider=name)
    with anthropic.Anthropic(base_url=fake.url, api_key=KEY) as client:
        client.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}])
    with openai.OpenAI(base_url=f"{fake.url}/v1", api_key=KEY) as other:
        other.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
    names = ("authorization", "x-api-key", "anthropic-version")
    ours = [{name: headers.get(name) for name in names} for headers in fake.headers]
    assert ours[:2] == [ours[3], ours[2]]


class TestTheFakes:
    """A fake is believed if the vendor's own library reads its answers and raises its own errors at its faults."""

    TOOLS: ClassVar[Any] = [{"name": "write_posts", "description": "x", "input_schema": SCHEMA}]

    def test_openai(self, fake: FakeModels) -> None:
        import openai

        with openai.OpenAI(base_url=f"{fake.url}/v1", api_key=KEY, max_retries=0) as client:

            def ask(client: Any) -> Any:
                return client.chat.completions.create(
                    model="gpt-x",
                    messages=[{"role": "user", "content": "x"}],
                    response_format={
                        "type": "json_schema",
                        "json_schema": {"name": "write_posts", "strict": True, "schema": SCHEMA},
                    },
                )

            found = ask(client)
            assert json.loads(found.choices[0].message.content) == fake.said
            assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (1_000, 500)
            fake.faults = ["refusal", "half"]
            assert ask(client).choices[0].message.refusal == "I cannot."
            assert ask(client).choices[0].finish_reason == "length"
            for fault, error in (
                ("429", openai.RateLimitError),
                ("quota", openai.RateLimitError),
                ("overloaded", openai.InternalServerError),
                ("cut", openai.APIConnectionError),
            ):
                fake.faults = [fault]
                with pytest.raises(error):
                    ask(client)
            with pytest.raises(openai.AuthenticationError):
                ask(client.with_options(api_key="bad"))

    def test_anthropic(self, fake: FakeModels) -> None:
        import anthropic

        with anthropic.Anthropic(base_url=fake.url, api_key=KEY, max_retries=0) as client:

            def ask(client: Any) -> Any:
                return client.messages.create(
                    model="claude-x",
                    max_tokens=100,
                    messages=[{"role": "user", "content": "x"}],
                    tools=self.TOOLS,
                    tool_choice={"type": "tool", "name": "write_posts"},
                )

            found = ask(client)
            assert found.stop_reason == "tool_use" and found.content[1].input == fake.said
            assert (found.usage.input_tokens, found.usage.output_tokens) == (1_000, 500)
            fake.faults = ["refusal", "half"]
            assert ask(client).stop_reason == "refusal"
            assert ask(client).stop_reason == "max_tokens"
            for fault, error in (
                ("429", anthropic.RateLimitError),
                ("quota", anthropic.BadRequestError),
                ("overloaded", anthropic.InternalServerError),
                ("cut", anthropic.APIConnectionError),
            ):
                fake.faults = [fault]
                with pytest.raises(error):
                    ask(client)
            with pytest.raises(anthropic.AuthenticationError):
                ask(client.with_options(api_key="bad"))


# what fits


def test_how_platforms_count() -> None:
    assert length_of("a" * 280, "twitter") == 280
    assert length_of("\u65e5\u672c", "twitter") == 4
    assert length_of("see https://example.com/" + "a" * 500, "twitter") == 27
    assert length_of("\U0001f600", "twitter") == 2 and length_of("\U0001f600", "linkedin") == 2
    assert [hashtag(text) for text in ("dead letters", "#queue", "R&D", "2026", "!", "\u00fcber-uns")] == [
        "#DeadLetters", "#Queue", "#RD", "", "", "#\u00dcberUns"
    ]  # fmt: skip


def test_posts_end_well() -> None:
    text, tags = fit("One. " * 100, ["a", "b"], "twitter", 2)
    assert (text[-1], tags, len(text) <= 280) == (".", (), True)
    text, tags = fit("word " * 100, ["queue"], "twitter", 3)
    assert text.endswith("word\u2026") and not tags
    text, tags = fit("Short.", ["queue", "queue", "short", "jobs"], "twitter", 2)
    assert (text, tags) == ("Short.\n\n#Queue #Short", ("#Queue", "#Short"))
    assert fit("a\x00b\ud800\n\n\n\nc", [], "blog", 0)[0] == "ab\n\nc"


texts = st.text(st.characters(exclude_categories=()), max_size=2_000)


@given(texts, st.lists(st.text(max_size=20), max_size=6), st.sampled_from(list(LIMITS)), st.integers(0, 30))
def test_every_post_fits(text: str, tags: list[str], platform: Platform, most: int) -> None:
    made, there = fit(text * 3, tags, platform, most)
    assert length_of(made, platform) <= LIMITS[platform].length
    assert len(there) <= min(most, LIMITS[platform].tags)


@given(st.text(min_size=1, max_size=1_500), st.integers(1, 5))
def test_any_text_has_an_extract(text: str, variants: int) -> None:
    found = extract(text, ("twitter", "blog"), variants)
    assert len(found.posts) == 2 * variants
