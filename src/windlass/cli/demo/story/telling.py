"""What the story says: the store's facts about its jobs as sentences, each once, as they happen."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from windlass.cli.show import size
from windlass.demo.counterparts import Board, PostOffice
from windlass.demo.sample import SENTENCES
from windlass.demo.story import READER
from windlass.values.job import Attempt, Job
from windlass.values.states import State

_LONG = ("video", "transcript")
Tone: TypeAlias = Literal["plain", "good", "bad"]


class Line(NamedTuple):
    """A sentence about one job or moment."""

    name: str
    text: str
    tone: Tone = "plain"


class Status(NamedTuple):
    """How far the job is that takes longest."""

    name: str
    percent: float
    note: str


class Teller:
    """Hears of the jobs again and again, and says what is new. `names`: by job id."""

    def __init__(self, names: Mapping[str, str], office: PostOffice, board: Board) -> None:
        self._names = names
        self._office = office
        self._board = board
        self._ended: set[str] = set()
        self._attempts: dict[str, int] = {}

    def hear(self, jobs: Iterable[Job]) -> list[Line]:
        """What happened since the last time, in the order in which it did."""
        found: list[tuple[Any, Line]] = []
        for job in jobs:
            name = self._names[job.id]
            past = [each for each in job.attempts if each.outcome in ("retry", "rescue")]
            for attempt in past[self._attempts.get(name, 0) :]:
                found.append((attempt.finished_at, self._again(name, attempt)))
            self._attempts[name] = len(past)
            if job.is_final and name not in self._ended:
                self._ended.add(name)
                line = self._end(name, job)
                found += [(job.finished_at, line)] if line else []
        return [line for _, line in sorted(found, key=lambda each: each[0])]

    def _again(self, name: str, attempt: Attempt) -> Line:
        """An attempt that did not come to its end."""
        if attempt.outcome == "rescue":
            return Line(name, "the lease has lapsed: the other worker begins it anew", "good")
        said = attempt.error.message if attempt.error else ""
        if name == "post" and self._board.heard == ["cut"]:
            return Line(name, "sent, and the board hung up instead of answering", "bad")
        return Line(name, f"{said}: later", "bad")

    def _end(self, name: str, job: Job) -> Line | None:
        if job.state is not State.COMPLETED:
            return _unmade(name, job)
        if name == "mail":
            letters = self._office.got(READER)
            subjects = ", ".join(dict.fromkeys(str(letter.message["Subject"]) for letter in letters))
            return Line(name, f"attempt {job.attempt} is accepted; {_many(len(letters), 'mail')}: {subjects}", "good")
        if name == "post":
            how = "looked up instead of sent again" if self._board.heard == ["cut", "GET"] else "sent"
            return Line(name, f"{how}: {_many(len(self._board.posts), 'post')} on the board", "good")
        tell = _ENDS.get(name)
        return None if tell is None else tell(job)


def status_of(jobs: Iterable[Job], names: Mapping[str, str]) -> Status | None:
    """How far the long ones are."""
    for job in jobs:
        if names[job.id] in _LONG and job.state is State.ACTIVE and job.progress:
            return Status(names[job.id], job.progress, job.progress_note or "")
    return None


def right_words(text: str) -> tuple[int, int]:
    """How many of the words that were spoken are in the transcript, and of how many."""
    spoken = re.findall(r"\w+", " ".join(SENTENCES).lower())
    heard = re.findall(r"\w+", text.lower())
    matched = difflib.SequenceMatcher(None, spoken, heard, autojunk=False).get_matching_blocks()
    return sum(block.size for block in matched), len(spoken)


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'s' * (count != 1)}"


def _unmade(name: str, job: Job) -> Line:
    """A job that did not complete."""
    error = job.error
    if name == "broken" and error is not None and error.type == "BadMedia":
        retried = sum(1 for attempt in job.attempts if attempt.outcome == "retry")
        how = f"after {_many(retried, 'retry')}" if retried else "at once, without retries"
        return Line(name, f"no video in it: a dead letter {how}", "bad")
    return Line(name, f"{job.state}: {error.message if error else job.reason}", "bad")


def _check(job: Job) -> Line:
    found = job.result
    scan = {"unscanned": "virus scan skipped: no clamd", "clean": "clamd finds nothing"}
    verdict = scan.get(found["verdict"], f"clamd finds {found['signature']}")
    return Line("check", f"{found['media_type']} by its content; {verdict}")


def _video(job: Job) -> Line:
    found = job.result
    source, made = found["source"], found["artifacts"]["mp4_640"]
    text = f"{source['height']}p, {size(source['bytes'])} -> 640p, {size(made['bytes'])}; and a poster"
    return Line("video", text, "good" if job.rescues else "plain")


def _transcript(job: Job) -> Line:
    right, spoken = right_words(job.result["text"])
    return Line("transcript", f"{right} of {spoken} words right ({job.result['provider']}, told the vocabulary)")


def _content(job: Job) -> Line:
    post = job.result["posts"]["twitter"][0]
    return Line("content", f"a summary and a post, {post['length']} characters ({job.result['provider']})")


def _thumbnail(job: Job) -> Line:
    made = job.result["artifacts"][0]
    return Line("thumbnail", f"{made['name']}, {size(made['bytes'])}, of the poster")


def _report(job: Job) -> Line:
    figures = job.result["figures"]
    told = [f"{figures[name]} {word}" for name, word in _FIGURES.items()]
    return Line("report", f"PDF: {', '.join(told)}")


_FIGURES = {"completed": "completed", "failed": "failed", "retries": "retried", "rescues": "taken over"}
_ENDS: Mapping[str, Callable[[Job], Line]] = {
    "check": _check,
    "video": _video,
    "transcript": _transcript,
    "content": _content,
    "thumbnail": _thumbnail,
    "report": _report,
}
