"""`scheduled-posts`: at their time, once on each platform or held; changed and cancelled until then; lost jobs come back."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.catalogue.tools import ENGINES, Studio, studio
from tests.waiting import until
from tests.worker.kit import ended, working
from windlass import Category, Windlass, catalogue, presets
from windlass.catalogue.content_limits import length_of
from windlass.catalogue.posts import PostInput, PostRefused, PostUnderway, UnknownPlatform, posts_of
from windlass.catalogue.posts_plan import PostNotFound, PostTooLong
from windlass.catalogue.posts_platforms import Doubt, Outgoing
from windlass.errors import InvalidArgs, InvalidOption


class Wall:
    """A platform that remembers what is on it. `faults`: what comes next: `refuse`, `later`, `lost` (posted, and no answer),
    `dark` (neither posted nor answered)."""

    longest: int | None = 280

    def __init__(self, name: str = "wall", in_doubt: Doubt = "hold") -> None:
        self.name = name
        self.in_doubt: Doubt = in_doubt
        self.posts: list[Outgoing] = []
        self.faults: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    def length(self, text: str) -> int:
        return length_of(text, "twitter")

    async def post(self, post: Outgoing) -> Mapping[str, Any]:
        await self.gate.wait()
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "refuse":
            raise PostRefused("403 duplicate")
        if fault == "later":
            raise PostRefused("503 busy", category=Category.TEMPORARY)
        if fault != "dark":
            self.posts.append(post)
        if fault:
            raise ConnectionError("the answer was lost")
        return {"id": str(len(self.posts)), "url": f"https://{self.name}.example/{len(self.posts)}"}

    async def lookup(self, post: Outgoing) -> Mapping[str, Any] | None:
        return next(({"id": "found"} for there in self.posts if there.key == post.key), None)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


def walls(it: Studio, *made: Wall) -> tuple[Wall, ...]:
    for wall in made:
        posts_of(it.app).platform(wall)
    return made


def soon(seconds: float = 0.05) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def out(it: Studio, content_id: str) -> Any:
    """The plan, once nothing of it is open."""

    async def look() -> Any:
        plan = await posts_of(it.app).get(content_id)
        return None if plan.is_open else plan

    return await until(look, f"{content_id} to be out")


async def test_at_its_time_on_each_platform(engine: str, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "posts") as it:
        one, two = walls(it, Wall("one"), Wall("two"))
        at = soon(0.3)
        more = {"user_id": "ada", "image_url": "https://example.com/a.png"}
        plan = await posts_of(it.app).put("c1", at, ["one", "two", "log"], "Hello.", **more)
        assert plan.is_open and plan.revision == 1
        plan = await out(it, "c1")
        assert datetime.now(UTC) >= at
        assert plan.platforms["one"]["told"] == {"id": "1", "url": "https://one.example/1"}
        assert {name: part["state"] for name, part in plan.platforms.items()} == dict.fromkeys(
            ("one", "two", "log"), "posted"
        )
        assert [(len(wall.posts), wall.posts[0].text, wall.posts[0].image_url) for wall in (one, two)] == [
            (1, "Hello.", "https://example.com/a.png")
        ] * 2
        assert [each.content_id for each in await posts_of(it.app).list()] == ["c1"]
        with pytest.raises(PostUnderway, match="one"):
            await posts_of(it.app).put("c1", soon(), ["one"], "Again.")
        with pytest.raises(PostUnderway):
            await posts_of(it.app).cancel("c1")


async def test_changed_and_cancelled(engine: str, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "posts") as it:
        [wall] = walls(it, Wall())
        posts = posts_of(it.app)
        first = await posts.put("c1", soon(3600), ["wall"], "Draft.")
        await posts.put("c2", soon(3600), ["wall"], "Never.")
        await posts.cancel("c2")
        second = await posts.put("c1", soon(), ["wall"], "Final.")
        assert (second.revision, second.platforms["wall"]["job"] != first.platforms["wall"]["job"]) == (2, True)
        await out(it, "c1")
        assert [post.text for post in wall.posts] == ["Final."]
        # A job of an older revision that is run all the same posts nothing.
        for content_id, revision, why in (("c1", 1, "revision 2"), ("c2", 1, "cancelled"), ("c3", 1, "not planned")):
            old = {"contentId": content_id, "platforms": ["wall"], "content": {"text": "Draft."}, "revision": revision}
            assert why in (await it.done("scheduled-posts", **old))["skipped"]
        assert len(wall.posts) == 1
        with pytest.raises(PostNotFound):
            await posts.cancel("c3")
        with pytest.raises(PostNotFound):
            await posts.get("c3")


async def test_it_cannot_be_changed_while_it_goes_out(engine: str, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "posts") as it:
        [wall] = walls(it, Wall())
        posts = posts_of(it.app)
        wall.gate.clear()
        await posts.put("c1", soon(), ["wall"], "Hello.")

        async def posting() -> bool:
            return (await posts.get("c1")).platforms["wall"]["state"] == "posting"

        await until(posting, "it to go out")
        with pytest.raises(PostUnderway):
            await posts.put("c1", soon(), ["wall"], "Other.")
        wall.gate.set()
        await out(it, "c1")
        assert [post.text for post in wall.posts] == ["Hello."]


async def test_an_answer_lost_is_held_or_looked_up(engine: str, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "posts") as it:
        holds, looks = walls(it, Wall("holds"), Wall("looks", "lookup"))
        holds.faults, looks.faults = ["lost"], ["lost", "dark"]
        post = {"platforms": ["holds"], "content": {"text": "Hello."}}
        job = await it.ended("scheduled-posts", contentId="c1", **post)
        assert job.state == "failed" and job.error is not None and job.error.category == "held"
        [held] = await it.app.effects.list(name="post")
        await it.app.effects.resolve(held.effect, "done", actor="ann", result={"id": "7"})
        await it.app.jobs.requeue(ids=[job.id])
        assert (await it.app.ref(job.id).result("20s")).posted == {"holds": {"id": "7"}} and len(holds.posts) == 1

        async def hurried(content_id: str) -> Any:
            given = {"contentId": content_id, "platforms": ["looks"], "content": {"text": "Hello."}}
            ref = await it.handlers["scheduled-posts"].enqueue(**given)

            async def final() -> Any:
                await it.app.jobs.run_now(ref.id)
                found = await it.app.jobs.get(ref.id)
                return found if found.is_final else None

            return await until(final, "the post to be out")

        found = await hurried("c2")
        assert (found.state, found.attempt, found.result["posted"]) == ("completed", 2, {"looks": {"id": "found"}})
        found = await hurried("c3")
        assert (found.state, found.attempt, len(looks.posts)) == ("completed", 2, 2), (
            "it was not there, so it was posted"
        )


async def test_what_a_platform_refuses(engine: str, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "posts") as it:
        [wall] = walls(it, Wall())
        posts = posts_of(it.app)
        wall.faults = ["refuse"]
        plan = await posts.put("c1", soon(), ["wall"], "Hello.")
        job = await ended(it.app, plan.platforms["wall"]["job"])
        assert (job.state, job.attempt) == ("failed", 1) and "403 duplicate" in str(job.error)
        await posts.put("c1", soon(), ["wall"], "Another text.")
        await out(it, "c1")
        assert [post.text for post in wall.posts] == ["Another text."]
        wall.faults = ["later"]
        ref = await it.handlers["scheduled-posts"].enqueue(contentId="c2", platforms=["wall"], content={"text": "x"})

        async def again() -> bool:
            return (await it.app.jobs.get(ref.id)).state == "retrying"

        await until(again, "it to be put off")


async def test_several_platforms_without_a_plan(engine: str, tmp_path: Path) -> None:
    """As the founding documents enqueue them: the run-at date is the job's."""
    async with studio(engine, tmp_path, "posts") as it:
        one, two = walls(it, Wall("one"), Wall("two"))
        one.faults = ["refuse"]
        given = {"userId": "u", "contentId": "c", "platforms": ["one", "two"], "content": {"text": "Hello."}}
        ref = await it.handlers["scheduled-posts"].options(run_at=soon()).enqueue(**given)
        jobs = {name: await ended(it.app, id) for name, id in (await ref.result("20s")).spread.items()}
        assert {name: str(job.state) for name, job in jobs.items()} == {"one": "failed", "two": "completed"}
        await it.done("scheduled-posts", **{**given, "platforms": ["two"]})
        assert (len(one.posts), len(two.posts)) == (0, 1), "the same post is posted once"
        early = await it.handlers["scheduled-posts"].enqueue(**{**given, "contentId": "d"}, publishAt=soon(0.3))
        await early.result("20s")
        late = {**given, "platforms": ["two"], "publishAt": soon(-7200)}
        assert "PostExpired" in await it.refused("scheduled-posts", **late)


async def test_lost_jobs_come_back(engine: str, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "posts", worker=False) as it:
        [wall] = walls(it, Wall())
        posts = posts_of(it.app)
        lost = await posts.put("c1", soon(), ["wall"], "Lost.")
        await posts.put("c2", soon(3600), ["wall"], "Later.")
        cancelled = await posts.put("c3", soon(), ["wall"], "Cancelled.")
        await posts.cancel("c3")
        for plan in (lost, cancelled):
            job = plan.platforms["wall"]["job"]
            await it.app.jobs.cancel(job)
            await it.app.jobs.delete(job)
        now = datetime.now(UTC) + timedelta(seconds=1)
        assert (await posts.reconcile(now), await posts.reconcile(now)) == (1, 0)
        async with working(it.app):
            await out(it, "c1")
            assert await it.done("scheduled-posts-reconcile") == 0
        assert [post.text for post in wall.posts] == ["Lost."]


async def test_what_is_refused(engine: str, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "posts") as it:
        walls(it, Wall())
        post = {"contentId": "c", "content": {"text": "Hello."}}
        said = await it.refused("scheduled-posts", **post, platforms=["myspace"])
        assert said.startswith("UnknownPlatform") and "log, wall" in said
        long = {"contentId": "c", "content": {"text": "\u65e5" * 141}}
        assert "has 282 characters; wall takes 280" in await it.refused("scheduled-posts", **long, platforms=["wall"])
        posts = posts_of(it.app)
        with pytest.raises(UnknownPlatform):
            await posts.put("c", soon(), ["myspace"], "Hello.")
        with pytest.raises(PostTooLong):
            await posts.put("c", soon(), ["wall"], "\u65e5" * 141)
        with pytest.raises(InvalidOption, match="time zone"):
            await posts.put("c", datetime(2030, 1, 1), ["wall"], "Hello.")
        with pytest.raises(InvalidArgs):
            await posts.put("c", soon(), ["wall"], " ")
        assert not await posts.list()
        for bad in (
            {"platforms": []},
            {"platforms": ["wall"], "publishAt": "2030-01-01T00:00:00"},
            {"platforms": ["wall"], "content": {"text": "x", "imageUrl": "file:///etc/passwd"}},
            {"platforms": ["../x"]},
        ):
            with pytest.raises(InvalidArgs):
                await it.handlers["scheduled-posts"].enqueue(**{**post, **bad})


def test_every_minute() -> None:
    app = Windlass("sqlite://:memory:")
    catalogue.install(app, families=["posts"], schedules=True)
    presets.apply(app, presets.media)
    assert app.timetable.has("media.scheduled-posts")
    assert catalogue.all_kinds()["scheduled-posts-reconcile"].schedules[0].cron == "* * * * *"
    PostInput.model_validate({"userId": "u", "contentId": "c", "platforms": ["twitter"], "content": {"text": "x"}})
