"""`generate-content`: posts for platforms about a text or a transcript, within what each platform takes."""

import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from windlass import Context, WindlassError
from windlass.catalogue.content_extract import Drafts
from windlass.catalogue.content_limits import Platform, fit, length_of
from windlass.catalogue.content_models import PROMPT, Desk, Order, Written
from windlass.catalogue.files_kept import keep, recall
from windlass.catalogue.files_source import Owner, owner_for
from windlass.catalogue.inputs import Artifact, JobInput, Output, Part
from windlass.catalogue.installing import Kit, kit_of
from windlass.catalogue.storage import check_owner, prefix_of
from windlass.catalogue.subtitles import read as read_subtitles

_VERSION = 1
_LONGEST = 200_000
_STOPS = (".", "!", "?", "\u2026", "\u3002")


class NoText(WindlassError, ValueError):
    """`key`: a file without text that could be written about."""

    code = "no-text"
    retryable = False


class ContentUser(Part):
    """Whose text it is, as the founding documents write it."""

    id: Annotated[str, Field(alias="_id", min_length=1, max_length=200)]
    email: Annotated[str, Field(max_length=320)] = ""


class ContentInput(JobInput):
    """A text, or `transcript_key`: a file of the user's with one (plain, JSON, SubRip or WebVTT, as `generate-transcript` makes
    them). `max_cost`: dollars that it may cost."""

    content_id: Annotated[str, Field(min_length=1, max_length=200)]
    text: Annotated[str, Field(min_length=1, max_length=_LONGEST)] | None = None
    transcript_key: Annotated[str, Field(min_length=1, max_length=900)] | None = None
    user: ContentUser | None = None
    platforms: Annotated[tuple[Platform, ...], Field(min_length=1, max_length=6)] = ("twitter", "linkedin")
    tone: Annotated[str, Field(max_length=200)] = ""
    brand_voice: Annotated[str, Field(max_length=2_000)] = ""
    language: Annotated[str, Field(max_length=20, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$")] = "en"
    hashtags_max: Annotated[int, Field(ge=0, le=30)] = 3
    variants: Annotated[int, Field(ge=1, le=5)] = 1
    provider: Literal["", "anthropic", "openai", "extractive"] = ""
    max_cost: Annotated[float, Field(ge=0)] | None = None
    skip_cache: bool = False

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.text is None) == (self.transcript_key is None):
            raise ValueError("give one of text and transcriptKey")
        if self.text is not None and not self.text.strip():
            raise ValueError("the text is empty")
        return self

    @property
    def owner_id(self) -> str | None:
        """Whose files it reads and writes."""
        return self.user.id if self.user is not None else self.user_id


class Post(Output):
    """A post that fits: `length` as the platform counts. `media_hint`: what picture would go with it."""

    text: str
    hashtags: tuple[str, ...]
    length: int
    media_hint: str = ""


class ContentOutput(Output):
    """The posts by platform. `quality`: `basic` for those made of the text's own sentences, `model` else. Tokens are those that
    were read and written."""

    content_id: str
    posts: dict[str, tuple[Post, ...]]
    summary: str
    keywords: tuple[str, ...]
    provider: str
    model: str
    quality: Literal["basic", "model"]
    tokens: tuple[int, int]
    artifacts: dict[str, Artifact]
    cost: float = 0.0
    reused: bool = False


async def generate(ctx: Context, given: ContentInput) -> ContentOutput:
    """Write the posts. The keys come from the text and the wishes: a repeated run is not paid for again."""
    kit = kit_of(ctx)
    desk = kit.part(Desk)
    owner = owner_for(ctx, given.tenant, given.owner_id)
    ctx.progress(5, "reading")
    text = given.text if given.text is not None else await _read(kit, owner, given.transcript_key or "")
    order = Order(
        text=text,
        platforms=tuple(dict.fromkeys(given.platforms)),
        variants=given.variants,
        tone=given.tone,
        language=given.language,
        brand_voice=given.brand_voice,
        hashtags=given.hashtags_max,
    )
    chain = desk.chain(given.provider, order, given.max_cost)
    first = chain.providers[0].name
    where = _where(given, owner, order)
    known = await recall(kit, where, ContentOutput, lambda made: made.artifacts.values())
    if known is not None and not given.skip_cache and (known.provider, known.model) == (first, desk.models[first]):
        ctx.progress(100, "written before")
        return known.model_copy(update={"content_id": given.content_id, "reused": True, "cost": 0.0})
    ctx.progress(20, "writing")
    done = await chain.call(desk.write, order, ctx)
    ctx.progress(90, "storing")
    made = _output(given, order, done, ctx.spent)
    plain = made.model_dump(mode="json", include={"posts", "summary", "keywords", "provider", "model", "quality"})
    data = json.dumps(plain, indent=2, ensure_ascii=False).encode()
    artifact = await kit.storage.put(f"{where}posts.json", data, media_type="application/json")
    made = made.model_copy(update={"artifacts": {"json": artifact}})
    await keep(kit, where, made)
    ctx.progress(100, made.provider)
    return made


async def _read(kit: Kit, owner: Owner, key: str) -> str:
    """The text of a file of the user's. Raises `NotOwner`, `NoSuchFile`, `FileTooLarge`, `NoText`."""
    check_owner(key, owner.tenant, owner.user)
    try:
        text = (await kit.storage.read(key, 4 * _LONGEST)).decode()
    except UnicodeDecodeError:
        raise NoText(f"{key} holds no text", key=key) from None
    if key.endswith((".srt", ".vtt")):
        text = _joined([segment.text for segment in read_subtitles(text)])
    elif key.endswith(".json"):
        try:
            text = _joined([str(segment["text"]) for segment in json.loads(text)["segments"]])
        except (ValueError, KeyError, TypeError):
            raise NoText(f"{key} holds no transcript", key=key) from None
    if not text.strip():
        raise NoText(f"{key} holds no text", key=key)
    return text[:_LONGEST]


def _joined(segments: Sequence[str]) -> str:
    """The segments as one text. A recogniser that writes no full stops tells where sentences end by its pauses only."""
    is_punctuated = any(segment.rstrip().endswith(_STOPS) for segment in segments)
    return (" " if is_punctuated else "\n\n").join(segments)


def _where(given: ContentInput, owner: Owner, order: Order) -> str:
    wish = [_VERSION, PROMPT, sorted(order.platforms), order.variants, order.tone, order.language, order.brand_voice]
    wishes = json.dumps([*wish, order.hashtags, given.provider])
    content = hashlib.sha256(order.text.encode()).hexdigest()[:32]
    how = hashlib.sha256(wishes.encode()).hexdigest()[:12]
    return f"{prefix_of(owner.tenant, owner.user)}content/{content}/{how}/"


def _output(given: ContentInput, order: Order, done: Written, cost: float) -> ContentOutput:
    return ContentOutput(
        content_id=given.content_id,
        posts={platform: posts_of(done.drafts, platform, order) for platform in order.platforms},
        summary=done.drafts.summary[:2_000],
        keywords=done.drafts.keywords[:8],
        provider=done.provider,
        model=done.model,
        quality="basic" if done.provider == "extractive" else "model",
        tokens=(done.read, done.written),
        artifacts={},
        cost=round(cost, 6),
    )


def posts_of(drafts: Drafts, platform: Platform, order: Order) -> tuple[Post, ...]:
    """The posts for a platform, each made to fit."""
    chosen = [draft for draft in drafts.posts if draft.platform == platform and draft.text.strip()]
    found: list[Post] = []
    for draft in chosen[: order.variants]:
        text, tags = fit(draft.text, draft.hashtags, platform, order.hashtags)
        hint = draft.media_hint[:300]
        found.append(Post(text=text, hashtags=tags, length=length_of(text, platform), media_hint=hint))
    return tuple(found)


__all__ = ["ContentInput", "ContentOutput", "Post", "generate"]
