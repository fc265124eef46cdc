"""Whether all is as it was told: the store, the files and what the servers got, looked at once more when the story is over."""

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, cast

from windlass.app import Windlass
from windlass.cli.demo.crew import Killed
from windlass.cli.demo.story.telling import right_words
from windlass.demo.counterparts import BUSY, Board, PostOffice
from windlass.demo.place import Place
from windlass.demo.story import BROKEN, OPERATOR, READER, RULE, SAMPLE, SUBJECT
from windlass.values.job import Job
from windlass.values.query import Where
from windlass.values.states import State


class Story(NamedTuple):
    """What was played. `ids`: of the jobs by name."""

    place: Place
    workflow: str
    ids: Mapping[str, str]
    killed: Killed | None
    office: PostOffice
    board: Board


class Facts:
    """Looks at one fact after the other. `count`: how many; `faults`: those that are otherwise."""

    def __init__(self) -> None:
        self.count = 0
        self.faults: list[str] = []

    def must(self, is_so: bool, fact: str) -> None:
        """This is so."""
        self.count += 1
        if not is_so:
            self.faults.append(fact)

    def same(self, found: object, expected: object, fact: str) -> None:
        """This is equal."""
        self.must(found == expected, f"{fact} is {found!r}, must be {expected!r}")


async def check_story(app: Windlass, story: Story, jobs: Mapping[str, Job]) -> Facts:
    """Look at everything. `jobs`: all of the store by id."""
    facts = Facts()
    named = {name: jobs[id] for name, id in story.ids.items() if id in jobs}
    _check_states(facts, story, jobs, named)
    if facts.faults:  # what did not run to its end has nothing that could be looked at
        return facts
    _check_kill(facts, story, jobs)
    if await asyncio.to_thread(_check_artifacts, facts, story, named):
        await _check_media(facts, story, named)
    _check_mail(facts, story, named["mail"], named["thumbnail"])
    await _check_post(facts, app, story, named)
    await _check_letters(facts, app, story, named["broken"])
    _check_report(facts, jobs, named["report"])
    return facts


async def all_jobs(app: Windlass) -> dict[str, Job]:
    """Every job of the store by id."""
    store = await app.store()
    return {job.id: job for job in (await store.jobs(Where(), None, 1_000)).items}


def artifacts_of(jobs: Mapping[str, Job]) -> Iterator[dict[str, Any]]:
    """Every file that a job says it has made."""
    for job in jobs.values():
        result = cast("dict[str, Any]", job.result) if isinstance(job.result, dict) else {}
        made = result.get("artifacts", ())
        yield from made.values() if isinstance(made, dict) else made


def _check_states(facts: Facts, story: Story, jobs: Mapping[str, Job], named: Mapping[str, Job]) -> None:
    for name in story.ids:
        job = named.get(name)
        wanted = State.FAILED if name == "broken" else State.COMPLETED
        state = "gone" if job is None else job.state
        error = f" ({job.error.message})" if job is not None and job.error is not None and state != wanted else ""
        facts.must(state == wanted, f"{name} is {state}{error}, must be {wanted}")
    strays = [job for id, job in jobs.items() if id not in story.ids.values() and not job.kind.startswith("windlass.")]
    facts.same([f"{job.kind} {job.id}" for job in strays], [], "jobs that nobody asked for:")


def _check_kill(facts: Facts, story: Story, jobs: Mapping[str, Job]) -> None:
    killed = story.killed
    if killed is None:
        return
    facts.must(story.ids["video"] in killed.held, "the killed worker made the video smaller")
    for id in killed.held:
        job = jobs[id]
        facts.must(job.rescues > 0, f"{job.name or job.kind} was held by the killed worker, and taken over")
        facts.must(job.worker != killed.worker, f"{job.name or job.kind} was ended by another than the killed worker")


def _check_artifacts(facts: Facts, story: Story, named: Mapping[str, Job]) -> bool:
    """Whether the files are what their jobs have made, so that they can be opened."""
    before = len(facts.faults)
    storage = story.place.storage
    for made in artifacts_of(named):
        found = _digest(storage / made["key"])
        facts.same(found, (made["bytes"], made["sha256"]), f"{made['key']} (bytes, sha256)")
    sample = named["check"].result
    facts.same(_digest(storage / SAMPLE), (sample["bytes"], sample["sha256"]), "sample.mp4 (bytes, sha256)")
    facts.same(sample["media_type"], "video/mp4", "the sample's type by its content")
    verdict = "clean" if story.place.clamd else "unscanned"
    facts.same(sample["verdict"], verdict, "the scanner's verdict")
    facts.must((storage / BROKEN).is_file(), "broken.mp4 is there")
    return len(facts.faults) == before


async def _check_media(facts: Facts, story: Story, named: Mapping[str, Job]) -> None:
    """The files are opened again by the programs themselves."""
    from windlass.catalogue.ffmpeg import Ffmpeg
    from windlass.catalogue.files_sniff import sniff
    from windlass.catalogue.subtitles import read

    place, video, transcript = story.place, named["video"].result, named["transcript"].result
    tools = Ffmpeg(place.ffmpeg, place.ffprobe)
    sample = await tools.probe(place.storage / SAMPLE)
    small = await tools.probe(place.storage / video["artifacts"]["mp4_640"]["key"])
    picture, sound = small.first("video"), small.first("audio")
    facts.same(picture and picture.height, 640, "the height of 640p.mp4")
    facts.must(sound is not None, "640p.mp4 has sound")
    facts.must(abs(small.duration - sample.duration) < 0.5, "640p.mp4 is as long as the sample")
    poster, thumbnail = video["artifacts"]["poster"], named["thumbnail"].result["artifacts"][0]
    for made in (poster, thumbnail):
        facts.same(sniff(place.storage / made["key"]), made["media_type"], f"what {made['name']} holds")
    written = await asyncio.to_thread((place.storage / transcript["artifacts"]["vtt"]["key"]).read_text)
    heard = " ".join(segment.text for segment in read(written))
    facts.same(right_words(heard), right_words(transcript["text"]), "right words in transcript.vtt")
    facts.must(right_words(heard)[0] > 0, "words were understood")


def _check_mail(facts: Facts, story: Story, mail: Job, thumbnail: Job) -> None:
    """One refusal, one mail, with the picture that the storage holds."""
    facts.same(story.office.refusals, [BUSY], "what the mail server refused")
    letters = story.office.got(READER)
    facts.same(len(letters), 1, f"mails to {READER}")
    facts.same(_outcomes(mail), ["retry", "complete"], "attempts of the mail")
    for letter in letters[:1]:
        message = letter.message
        facts.same(message["Subject"], SUBJECT, "the mail's subject")
        facts.same(message["Message-ID"], mail.result["message_id"], "the mail's Message-ID")
        enclosed = [part.get_payload(decode=True) for part in message.walk() if part.is_attachment()]
        digests = [hashlib.sha256(data).hexdigest() for data in enclosed if isinstance(data, bytes)]
        facts.same(digests, [thumbnail.result["artifacts"][0]["sha256"]], "the mail's picture")
        facts.same(letter.path.is_file(), True, f"{letter.path.name} is there:")


async def _check_post(facts: Facts, app: Windlass, story: Story, named: Mapping[str, Job]) -> None:
    """Posted, cut off, looked up: the board counts, the ledger remembers."""
    post, text = named["post"], named["content"].result["posts"]["twitter"][0]["text"]
    facts.same([each["text"] for each in story.board.posts], [text], "posts on the board")
    facts.same(story.board.heard, ["cut", "GET"], "what the board was asked")
    facts.same(_outcomes(post), ["retry", "complete"], "attempts of the post")
    for each in story.board.posts[:1]:
        effect = await app.effects.get(f"post/{each['key']}")
        facts.same((str(effect.state), effect.sends), ("done", 1), "the ledger on the post (state, sends)")


async def _check_letters(facts: Facts, app: Windlass, story: Story, broken: Job) -> None:
    """One dead letter, one alert, one mail of it."""
    page = await app.dead_letters.list()
    facts.same([letter.job.id for letter in page.items], [broken.id], "dead letters")
    facts.same(len(_outcomes(broken)), 1, "attempts of the broken video")
    if broken.error is not None:
        facts.same(str(broken.error.category), "permanent", "the category of its error")
    firing = [(alert.rule, alert.group) for alert in await app.alerts.list(firing=True)]
    facts.same(firing, [(RULE, broken.queue)], "alerts that fire")
    mails = story.office.got(OPERATOR)
    facts.same(len(mails), 1, f"mails to {OPERATOR}")
    facts.must(any(broken.queue in str(mail.message["Subject"]) for mail in mails), "the alert names the queue")


def _check_report(facts: Facts, jobs: Mapping[str, Job], report: Job) -> None:
    """The report's figures are the store's, counted here in the jobs as they stood while the report read them."""
    figures = report.result["figures"]
    since, until = (datetime.fromisoformat(report.result[name]) for name in ("since", "until"))
    for name, ends in _ends(jobs, report).items():
        ends = [at for at in ends if since <= at < until]
        least = sum(1 for at in ends if report.started_at is not None and at <= report.started_at)
        most = sum(1 for at in ends if report.finished_at is not None and at <= report.finished_at)
        facts.must(
            least <= figures[name] <= most, f"the report says {figures[name]} {name}, the store {least} to {most}"
        )


def _ends(jobs: Mapping[str, Job], report: Job) -> dict[str, list[datetime]]:
    """The instants that count for each figure."""
    others = [job for job in jobs.values() if job.id != report.id]
    past = [attempt for job in others for attempt in job.attempts]
    return {
        "completed": [job.finished_at for job in others if job.finished_at and job.state is State.COMPLETED],
        "failed": [job.finished_at for job in others if job.finished_at and job.state is State.FAILED],
        "retries": [each.finished_at for each in past if each.finished_at and each.outcome == "retry"],
        "rescues": [each.finished_at for each in past if each.finished_at and each.outcome == "rescue"],
    }


def _outcomes(job: Job) -> list[str]:
    """How its attempts ended, without those that were given back or taken over, which spend none."""
    return [attempt.outcome for attempt in job.attempts if attempt.outcome not in ("release", "snooze", "rescue")]


def _digest(path: Path) -> tuple[int, str]:
    data = path.read_bytes() if path.is_file() else b""
    return len(data), hashlib.sha256(data).hexdigest()
