"""`scheduled-posts`: a post at its time, once on each platform or held; and what puts back posts whose jobs were lost."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, Field, model_validator

from windlass import Context, Snooze, WindlassError
from windlass.catalogue.files_source import owner_for
from windlass.catalogue.inputs import Input, JobInput, Output, Part
from windlass.catalogue.installing import kit_of
from windlass.catalogue.posts_plan import Planned, Posts, PostUnderway, UnknownPlatform, posts_of
from windlass.catalogue.posts_platforms import Log, Outgoing, Platform, PostRefused

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,49}$")]


class PostExpired(WindlassError):
    """`publish_at`: its time is too long past."""

    code = "post-expired"
    retryable = False


class PostContent(Part):
    """What is posted."""

    text: Annotated[str, Field(min_length=1, max_length=25_000)]
    image_url: Annotated[str, Field(pattern=r"^https?://", max_length=4_000)] | None = None
    link: Annotated[str, Field(pattern=r"^https?://", max_length=4_000)] | None = None


class PostInput(JobInput):
    """A post. `publish_at`: not before then; more than `expires_after_s` later it is not posted any more. `revision`: of the plan
    that it belongs to, 0 for none."""

    content_id: Annotated[str, Field(min_length=1, max_length=150)]
    platforms: Annotated[tuple[Name, ...], Field(min_length=1, max_length=20)]
    content: PostContent
    account_id: Annotated[str, Field(min_length=1, max_length=60)] = "default"
    publish_at: AwareDatetime | None = None
    expires_after_s: Annotated[float, Field(gt=0, le=30 * 86_400)] = 3_600
    revision: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _has_text(self) -> Self:
        if not self.content.text.strip():
            raise ValueError("the post is empty")
        return self


class PostOutput(Output):
    """What became of it: `posted` by platform, or why it was `skipped`. Of several platforms: `spread`, the jobs of each."""

    content_id: str
    posted: dict[str, dict[str, Any]] = Field(default_factory=dict)
    skipped: str = ""
    spread: dict[str, str] = Field(default_factory=dict)


class ReconcileInput(Input):
    """Nothing is asked."""


async def publish(ctx: Context, given: PostInput) -> PostOutput:
    """Post to the platform; for several make it a job each, so that one that fails does not post again where it worked."""
    posts = posts_of(kit_of(ctx).app)
    posts.check(given.platforms, given.content.text)
    owner = owner_for(ctx, given.tenant, given.user_id)
    first, *others = given.platforms
    if given.publish_at is not None:
        await _check_time(posts, given, given.publish_at)
    if others:
        return _spread(ctx, given)
    platform = posts.get_platform(first)
    if given.revision:
        stale = await posts.mark(given.content_id, given.tenant, given.revision, platform.name, "posting")
        if stale is not None:
            return PostOutput(content_id=given.content_id, skipped=stale)
    outgoing = Outgoing(
        key=f"{platform.name}:{given.account_id}:{given.tenant}:{given.content_id}:{given.revision}",
        content_id=given.content_id,
        account=given.account_id,
        text=given.content.text,
        image_url=given.content.image_url,
        link=given.content.link,
        user=owner.user,
        tenant=given.tenant,
    )
    told = await _send(ctx, posts, given, platform, outgoing)
    if given.revision:
        await posts.mark(given.content_id, given.tenant, given.revision, platform.name, "posted", told=told)
    return PostOutput(content_id=given.content_id, posted={platform.name: told})


async def _send(ctx: Context, posts: Posts, given: PostInput, platform: Platform, outgoing: Outgoing) -> dict[str, Any]:
    async def look(_: Any) -> Mapping[str, Any] | None:
        return await platform.lookup(outgoing)

    lookup = look if platform.in_doubt == "lookup" else None
    request = given.content.model_dump(mode="json")
    async with ctx.effect("post", outgoing.key, request, in_doubt=platform.in_doubt, lookup=lookup) as effect:
        if effect.done:
            return dict(effect.result)
        await effect.sending()
        try:
            told = await platform.post(outgoing)
        except PostRefused:
            await effect.refused()
            if given.revision:  # nothing is out there: it may be changed until the next attempt
                await posts.mark(given.content_id, given.tenant, given.revision, platform.name, "planned")
            raise
        return dict(await effect.finish(dict(told)))


async def _check_time(posts: Posts, given: PostInput, at: datetime) -> None:
    """Too early: put off until then, which spends no attempt. Too late: refused for good."""
    ahead = (at - datetime.now(UTC)).total_seconds()
    if ahead > 0:
        raise Snooze(timedelta(seconds=ahead), "its time has not come")
    if -ahead <= given.expires_after_s:
        return
    if given.revision:
        for name in given.platforms:
            await posts.mark(given.content_id, given.tenant, given.revision, name, "expired")
    raise PostExpired(
        f"it was to be posted at {at.isoformat()}, {-ahead:.0f} s ago; the limit is {given.expires_after_s:.0f} s",
        publish_at=at.isoformat(),
    )


def _spread(ctx: Context, given: PostInput) -> PostOutput:
    own = ctx.job
    options: dict[str, Any] = {"queue": own.queue, "priority": own.priority, "tags": own.tags}
    options |= {name: value for name, value in (("user", own.user), ("project", own.project)) if value is not None}
    handler = kit_of(ctx).app.handlers["scheduled-posts"].options(**options)
    fields = given.model_dump(mode="json", exclude_unset=True)
    jobs = {
        name: ctx.hand_over(handler.job(**{**fields, "platforms": [name]})).id
        for name in dict.fromkeys(given.platforms)
    }
    return PostOutput(content_id=given.content_id, spread=jobs)


async def reconcile(ctx: Context, given: ReconcileInput) -> int:
    """Store the jobs of due posts that have none."""
    return await posts_of(kit_of(ctx).app).reconcile(datetime.now(UTC))


__all__ = [
    "Log",
    "Outgoing",
    "Planned",
    "Platform",
    "PostExpired",
    "PostInput",
    "PostOutput",
    "PostRefused",
    "PostUnderway",
    "Posts",
    "UnknownPlatform",
    "posts_of",
    "publish",
    "reconcile",
]
