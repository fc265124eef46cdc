"""The plan of posts, shared by all workers: what goes out when and where, by content id; changed until it goes out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

from msgspec.structs import replace

from windlass import InvalidOption, JobNotFound, NewJob, Windlass, WindlassError
from windlass.catalogue.posts_platforms import Log, Platform
from windlass.keyed import Kept, Keyed

_KEEP = "30d"
"""How long a plan stays when nothing of it is open any more."""
_TRIES = 20
_LATE = timedelta(minutes=1)


class PostUnderway(WindlassError):
    """`content_id`, `platforms`: it goes out or is out there; that cannot be changed here."""

    code = "post-underway"
    retryable = False


class PostNotFound(WindlassError, LookupError):
    """`content_id`: nothing is planned under it."""

    code = "post-not-found"
    retryable = False


class UnknownPlatform(WindlassError, ValueError):
    """`platform`, `known`: nobody has registered it."""

    code = "unknown-platform"
    retryable = False


class PostTooLong(WindlassError, ValueError):
    """`platform`, `length`, `limit`."""

    code = "post-too-long"
    retryable = False


@dataclass(frozen=True, slots=True)
class Planned:
    """A post that is planned or out. `platforms`: by name, `state` (`planned`, `posting`, `posted`, `cancelled`, `expired`)
    and what the platform told."""

    content_id: str
    at: datetime
    revision: int
    text: str
    platforms: Mapping[str, Mapping[str, Any]]

    @property
    def is_open(self) -> bool:
        """Whether something is still to go out."""
        return any(each["state"] in ("planned", "posting") for each in self.platforms.values())


class Posts:
    """The posts of an app: `posts_of(app)`."""

    def __init__(self, app: Windlass) -> None:
        self._app = app
        self._platforms: dict[str, Platform] = {}
        self._kept = Keyed(app, "posts")
        self.platform(Log())

    def platform(self, platform: Platform) -> None:
        """Register where posts can go; one of the same name is replaced."""
        self._platforms[platform.name] = platform

    def get_platform(self, name: str) -> Platform:
        """A platform by name; raises `UnknownPlatform`."""
        found = self._platforms.get(name)
        if found is None:
            known = sorted(self._platforms)
            raise UnknownPlatform(
                f"there is no platform {name!r}; there are: {', '.join(known)}",
                platform=name,
                known=known,
                mend="register it with posts_of(app).platform(...) in the program of the workers",
            )
        return found

    def check(self, platforms: Sequence[str], text: str) -> None:
        """Raises `UnknownPlatform`, `PostTooLong`."""
        for name in platforms:
            platform = self.get_platform(name)
            length = platform.length(text)
            if platform.longest is not None and length > platform.longest:
                raise PostTooLong(
                    f"the post has {length} characters; {name} takes {platform.longest}",
                    platform=name,
                    length=length,
                    limit=platform.longest,
                )

    async def put(self, content_id: str, at: datetime, platforms: Sequence[str], text: str, **more: Any) -> Planned:
        """Plan a post, or change the one of this content id: another time, text or other platforms. `more`: further fields of
        the kind's input (`user_id`, `account_id`, `image_url`, `link`, `expires_after_s`, `tenant`). Raises `PostUnderway` once a
        part of it goes out, `UnknownPlatform`, `PostTooLong`, `InvalidArgs`."""
        if at.tzinfo is None:
            raise InvalidOption(f"{at!r} has no time zone", field="at", value=at, mend="give an aware datetime")
        names = tuple(dict.fromkeys(platforms))
        self.check(names, text)
        tenant = more.get("tenant", "default")
        for _ in range(_TRIES):
            there = await self._read(content_id, tenant)
            if there is not None:
                _check_idle(there)
            revision = 1 if there is None else there.value["revision"] + 1
            jobs = {name: self._job(content_id, at, name, text, revision, more) for name in names}
            record = {
                "at": at.astimezone(UTC).isoformat(),
                "revision": revision,
                "text": text,
                "more": more,
                "platforms": {name: {"state": "planned", "job": jobs[name].id} for name in names},
            }
            # The plan first: what dies before the jobs are stored, the reconciler stores.
            if await self._write(content_id, tenant, record, there):
                await self._drop_jobs(there)
                await self._app.enqueue_many(jobs.values())
                return _planned(content_id, record)
        raise ConnectionError(f"{_TRIES} others were changing the post {content_id}")

    async def cancel(self, content_id: str, *, tenant: str = "default") -> Planned:
        """It will not go out. Raises `PostUnderway` once a part of it does, `PostNotFound`."""
        for _ in range(_TRIES):
            there = await self._read(content_id, tenant)
            if there is None:
                raise PostNotFound(f"no post is planned for {content_id!r}", content_id=content_id)
            _check_idle(there)
            value: dict[str, Any] = there.value
            states = {name: {**each, "state": "cancelled"} for name, each in value["platforms"].items()}
            record = {**value, "platforms": states}
            if await self._write(content_id, tenant, record, there):
                await self._drop_jobs(there)
                return _planned(content_id, record)
        raise ConnectionError(f"{_TRIES} others were changing the post {content_id}")

    async def get(self, content_id: str, *, tenant: str = "default") -> Planned:
        """What is planned for a content id, and what became of it. Raises `PostNotFound`."""
        there = await self._read(content_id, tenant)
        if there is None:
            raise PostNotFound(f"no post is planned for {content_id!r}", content_id=content_id)
        return _planned(content_id, there.value)

    async def list(self) -> "list[Planned]":
        """All of them, the next one first."""
        found = [_planned(kept.key.partition(":")[2], kept.value) for kept in await self._kept.list()]
        return sorted(found, key=lambda each: (each.at, each.content_id))

    async def mark(
        self, content_id: str, tenant: str, revision: int, platform: str, state: str, **told: Any
    ) -> str | None:
        """Say how far a platform's post is; None, or the reason why this job is not the one that posts it."""
        for _ in range(_TRIES):
            there = await self._read(content_id, tenant)
            if there is None:
                return "it is not planned any more"
            value: dict[str, Any] = there.value
            part = value["platforms"].get(platform)
            if value["revision"] != revision or part is None:
                return f"it was changed: revision {value['revision']}"
            if part["state"] == "cancelled":
                return "it was cancelled"
            if part["state"] == state == "posting":
                return None
            parts = {**value["platforms"], platform: {"job": part["job"], "state": state, **told}}
            if await self._write(content_id, tenant, {**value, "platforms": parts}, there):
                return None
        raise ConnectionError(f"{_TRIES} others were changing the post {content_id}")

    async def reconcile(self, now: datetime) -> int:
        """Store the jobs of posts whose time has come and which have none: they were lost between plan and job, or deleted. How
        many."""
        lost: list[NewJob[Any]] = []
        for kept in await self._kept.list():
            tenant, _, content_id = kept.key.partition(":")
            value: dict[str, Any] = kept.value
            at = datetime.fromisoformat(value["at"])
            if at > now + _LATE:
                continue
            for name, part in value["platforms"].items():
                if part["state"] in ("planned", "posting") and not await self._has_job(part["job"]):
                    more = {**value["more"], "tenant": tenant}
                    made = self._job(content_id, at, name, value["text"], value["revision"], more)
                    lost.append(replace(made, id=part["job"]))
        if lost:
            await self._app.enqueue_many(lost)
        return len(lost)

    def _job(
        self, content_id: str, at: datetime, platform: str, text: str, revision: int, more: Mapping[str, Any]
    ) -> NewJob[Any]:
        content = {"text": text, **{name: more[name] for name in ("image_url", "link") if more.get(name)}}
        rest = {name: value for name, value in more.items() if name not in ("image_url", "link")}
        handler = self._app.handlers["scheduled-posts"].options(run_at=at)
        return handler.job(
            content_id=content_id,
            platforms=[platform],
            content=content,
            publish_at=at.isoformat(),
            revision=revision,
            **rest,
        )

    async def _has_job(self, id: str) -> bool:
        try:
            await self._app.jobs.get(id)
        except JobNotFound:
            return False
        return True

    async def _drop_jobs(self, there: Kept | None) -> None:
        """Tidiness only: a job of an older revision would post nothing."""
        if there is not None:
            ids = [part["job"] for part in there.value["platforms"].values()]
            await self._app.jobs.cancel(*ids, actor="posts")

    async def _read(self, content_id: str, tenant: str) -> Kept | None:
        key = f"{tenant}:{content_id}"
        return (await self._kept.get_many([key])).get(key)

    async def _write(self, content_id: str, tenant: str, record: dict[str, Any], there: Kept | None) -> bool:
        ttl = None if _planned(content_id, record).is_open else _KEEP
        expect = 0 if there is None else there.version
        return await self._kept.put(f"{tenant}:{content_id}", record, expect=expect, ttl=ttl) is not None


def _check_idle(there: Kept) -> None:
    parts: dict[str, Any] = there.value["platforms"]
    busy = sorted(name for name, part in parts.items() if part["state"] in ("posting", "posted"))
    if busy:
        content_id = there.key.partition(":")[2]
        raise PostUnderway(
            f"the post {content_id!r} goes out or is out there: {', '.join(busy)}",
            content_id=content_id,
            platforms=busy,
            mend="give the new post another content id",
        )


def _planned(content_id: str, record: Mapping[str, Any]) -> Planned:
    at = datetime.fromisoformat(record["at"])
    return Planned(content_id, at, record["revision"], record["text"], record["platforms"])


_OF: "WeakKeyDictionary[Windlass, Posts]" = WeakKeyDictionary()


def posts_of(app: Windlass) -> Posts:
    """The posts and platforms of an app."""
    found = _OF.get(app)
    if found is None:
        found = _OF[app] = Posts(app)
    return found


__all__ = ["Planned", "PostNotFound", "PostTooLong", "PostUnderway", "Posts", "UnknownPlatform", "posts_of"]
