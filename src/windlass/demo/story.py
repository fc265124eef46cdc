"""The story of `windlass demo`: a video is checked, made smaller, written down, posted, mailed and reported, as one workflow.

Every kind but `part`, `saying` and `letter` is the catalogue's. Nothing leaves this machine, whatever keys the environment holds.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from windlass import Handler, JobOptions, NewJob, Windlass, Workflow, chain, fixed, group, result_of
from windlass.demo.place import Place
from windlass.demo.sample import SENTENCES

if TYPE_CHECKING:
    from windlass.catalogue.posts import Outgoing
    from windlass.catalogue.posts_platforms import Doubt
    from windlass.catalogue.settings import CatalogueSettings

USER = "ada"
READER = "ada@example.org"
OPERATOR = "ops@example.org"
SAMPLE = f"t/default/u/{USER}/sample.mp4"
BROKEN = f"t/default/u/{USER}/broken.mp4"
SUBJECT = "Your video is ready"
CHANNEL, RULE, WATCHED = "operators", "dead-letters", "video-processing"
KINDS = (
    "file-processing",
    "process-video",
    "generate-transcript",
    "generate-content",
    "scheduled-posts",
    "send-email",
    "daily-reports",
)
_AGAIN = fixed("800ms")
"""Instead of the catalogue's half a minute between attempts: who looks at a demo does not wait so long."""


def make_app(place: Place) -> Windlass:
    """The app of the story's workers, and of who starts it."""
    app = Windlass(
        place.url,
        namespace="windlass",
        smtp_url=f"smtp://127.0.0.1:{place.mail}?tls=off",
        smtp_from="alerts@windlass.example",
    )
    furnish(app, place)
    return app


def furnish(app: Windlass, place: Place) -> None:
    """Give an app the story's kinds."""
    from windlass import catalogue
    from windlass.catalogue.posts import posts_of

    catalogue.install(app, kinds=KINDS, settings=_settings(place), unready="raise")
    posts_of(app).platform(BoardPlatform(place.board))
    app.job(kind="part", queue="glue")(part)
    app.job(kind="saying", queue="glue")(saying)
    app.job(kind="letter", queue="glue")(letter)


def _settings(place: Place) -> "CatalogueSettings":
    from windlass.catalogue.settings import (
        AiSettings,
        CatalogueSettings,
        FileSettings,
        MailSettings,
        MediaSettings,
        StorageSettings,
    )

    return CatalogueSettings(
        mail=MailSettings(
            provider="smtp",
            sender="studio@windlass.example",
            sender_name="The Studio",
            smtp_host="127.0.0.1",
            smtp_port=place.mail,
            smtp_security="none",
        ),
        files=FileSettings(allowed_types=("video/mp4", "image/jpeg"), clamd=place.clamd),
        media=MediaSettings(
            ffmpeg=place.ffmpeg, ffprobe=place.ffprobe, espeak=place.espeak, transcript_providers=("pocketsphinx",)
        ),
        ai=AiSettings(content_providers=("extractive",)),
        storage=StorageSettings(url=f"file://{quote(str(place.storage))}"),
    )


class BoardPlatform:
    """The board as a platform of `scheduled-posts`: when nobody knows whether a post went out, it is looked for."""

    name = "board"
    in_doubt: "Doubt" = "lookup"
    longest: int | None = 280

    def __init__(self, port: int) -> None:
        self._posts = f"http://127.0.0.1:{port}/posts"

    def length(self, text: str) -> int:
        """Characters."""
        return len(text)

    async def post(self, post: "Outgoing") -> Mapping[str, Any]:
        """Post it; an answer that does not come is an error that says nothing of what happened."""
        from httpx2 import AsyncClient

        async with AsyncClient(timeout=10) as client:
            answer = await client.post(self._posts, json={"key": post.key, "text": post.text})
        return dict(answer.json())

    async def lookup(self, post: "Outgoing") -> Mapping[str, Any] | None:
        """The post, if it is there."""
        from httpx2 import AsyncClient

        async with AsyncClient(timeout=10) as client:
            answer = await client.get(f"{self._posts}/{quote(post.key, safe='')}")
        return dict(answer.json()) if answer.status_code == 200 else None


def part(whole: dict[str, Any], path: str) -> Any:
    """What is at a dotted path of a result, for the next job's argument."""
    found: Any = whole
    for name in path.split("."):
        found = found[name]
    return found


def saying(content: dict[str, Any]) -> dict[str, str]:
    """What is posted."""
    return {"text": content["posts"]["twitter"][0]["text"]}


def letter(content: dict[str, Any], thumbnail: dict[str, Any]) -> dict[str, Any]:
    """What the mail says, and the picture that goes with it."""
    picture = thumbnail["artifacts"][0]
    enclosed = {"name": "thumbnail.webp", "key": picture["key"], "mediaType": picture["media_type"]}
    said = f"It was made smaller and written down. What it says: {content['summary']}."
    return {"data": {"title": SUBJECT, "message": said}, "attachments": [enclosed]}


def make_story(app: Windlass, place: Place) -> tuple[Workflow[Any], dict[str, NewJob[Any]]]:
    """The workflow, and its jobs by the names that the story gives them."""
    jobs = _jobs(app.handlers, place)
    each = jobs.__getitem__
    # The arguments made with `result_of` have made most edges already; the builders give the whole its shape.
    smaller = chain(each("check"), each("video"))
    written = chain(each("transcript"), each("text"), each("content"))
    pictured = chain(each("poster"), each("thumbnail"))
    posted = chain(each("saying"), each("post"))
    mailed = chain(each("letter"), group(each("data"), each("enclosed")), each("mail"))
    made = chain(smaller, group(written, pictured), group(posted, mailed), each("report"))
    return group(made, each("broken")).named("story-of-a-video"), jobs


def _jobs(handlers: Mapping[str, Handler[..., Any]], place: Place) -> dict[str, NewJob[Any]]:
    own: dict[str, Any] = {"userId": USER}
    jobs: dict[str, NewJob[Any]] = {}

    def add(name: str, kind: str, options: JobOptions | None = None, **args: Any) -> NewJob[Any]:
        asked: JobOptions = {"user": USER, "name": name, **(options or {})}
        jobs[name] = handlers[kind].options(**asked).job(**args)
        return jobs[name]

    def take(name: str, whole: NewJob[Any], path: str) -> Any:
        return result_of(add(name, "part", whole=result_of(whole), path=path))

    task = "virus_scan" if place.clamd else "validation"
    add("check", "file-processing", fileId="sample", fileUrl=SAMPLE, fileName="sample.mp4", processingType=task, **own)
    video = add("video", "process-video", contentId="sample", videoPath=SAMPLE, **own)
    heard = {"contentId": "sample", "videoPath": SAMPLE, "vocabulary": list(SENTENCES)}
    transcript = add("transcript", "generate-transcript", **heard, formats=["vtt"], **own)
    text = take("text", transcript, "artifacts.vtt.key")
    content = add("content", "generate-content", contentId="sample", transcriptKey=text, platforms=["twitter"], **own)
    poster = take("poster", video, "artifacts.poster.key")
    thumbnail = add("thumbnail", "file-processing", fileId="poster", fileUrl=poster, processingType="thumbnail", **own)
    said = result_of(add("saying", "saying", content=result_of(content)))
    add("post", "scheduled-posts", {"backoff": _AGAIN}, contentId="sample", platforms=["board"], content=said, **own)
    wrote = add("letter", "letter", content=result_of(content), thumbnail=result_of(thumbnail))
    data, enclosed = take("data", wrote, "data"), take("enclosed", wrote, "attachments")
    mail = {"to": READER, "template": "notification", "data": data, "attachments": enclosed}
    add("mail", "send-email", {"backoff": _AGAIN}, **mail, idempotencyKey="sample", **own)
    broken = add("broken", "process-video", contentId="broken", videoPath=BROKEN, **own)
    today = datetime.now(UTC).date().isoformat()
    last: JobOptions = {"after": [broken], "on_failure": "run"}
    add("report", "daily-reports", last, date=today, compare="none", formats=["pdf", "json"], **own)
    return jobs
