"""The story's end: what each job came to, whether all is as it was told, what was made, and what to look at."""

import asyncio
import shlex
import shutil
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from windlass.app import Windlass
from windlass.cli.demo.again import own_name
from windlass.cli.demo.story.checks import Facts, Story, all_jobs, artifacts_of, check_story
from windlass.cli.demo.story.screen import Screen, width
from windlass.cli.options import Plain
from windlass.cli.show import emit_json, emit_table, span
from windlass.demo.story import KINDS, READER
from windlass.values.job import Job

_MOST = 20


async def conclude(app: Windlass, story: Story, screen: Screen, form: Plain) -> int:
    """Check every word, print the end; 0 if all is as it was told, else 1."""
    jobs = await all_jobs(app)
    named = {name: jobs[id] for name, id in story.ids.items() if id in jobs}
    facts = await check_story(app, story, jobs)
    seconds = time.monotonic() - screen.began
    made = await asyncio.to_thread(_gather, story, named)
    if form is Plain.JSON:
        emit_json(_report(story, named, facts, made, seconds, screen))
    else:
        _print(story, named, facts, made, seconds)
    return 1 if facts.faults else 0


def _gather(story: Story, named: Mapping[str, Job]) -> list[str]:
    """Copies of what was made, in one folder; their names."""
    folder = story.place.folder / "made"
    folder.mkdir(exist_ok=True)
    found = {_plain(each["name"]): story.place.storage / each["key"] for each in artifacts_of(named)}
    for letter in story.office.got(READER)[:1]:
        found["mail.eml"] = letter.path
    for name, path in found.items():
        if path.is_file():
            shutil.copyfile(path, folder / name)
    return sorted(path.name for path in folder.iterdir())


def _plain(name: str) -> str:
    """The name without the day or the size that the storage's name tells."""
    stem, ending = Path(name).stem, Path(name).suffix
    return {"daily": "report", "picture": "thumbnail"}.get(stem.partition("_")[0].partition("-")[0], stem) + ending


def _report(
    story: Story, named: Mapping[str, Job], facts: Facts, made: list[str], seconds: float, screen: Screen
) -> dict[str, Any]:
    killed = story.killed
    rows = {
        name: {
            "id": job.id,
            "kind": job.kind,
            "state": job.state,
            "attempts": [attempt.outcome for attempt in job.attempts],
        }
        for name, job in named.items()
    }
    return {
        "demo": "story",
        "seconds": round(seconds, 2),
        "workflow": story.workflow,
        "jobs": rows,
        "told": screen.told,
        "killed_worker": None if killed is None else killed.pid,
        "held_by_it": 0 if killed is None else len(killed.held),
        "mails": len(story.office.got(READER)),
        "posts": len(story.board.posts),
        "checked": facts.count,
        "faults": facts.faults,
        "folder": str(story.place.folder),
        "made": made,
        "url": story.place.url,
    }


def _print(story: Story, named: Mapping[str, Job], facts: Facts, made: list[str], seconds: float) -> None:
    print()
    shown = {name: job for name, job in named.items() if job.kind in KINDS}
    rows = [[name, job.kind, str(job.state), _attempts(job), _took(job)] for name, job in shown.items()]
    emit_table(("job", "kind", "state", "attempts", "took"), rows, right=("took",))
    print(f"and {len(named) - len(shown)} small jobs that carry results from one to the next")
    print()
    if facts.faults:
        print(f"WRONG: {len(facts.faults)} of {facts.count} facts are not as they were told:")
        print("\n".join(f"  {fault}" for fault in facts.faults[:_MOST]))
    else:
        print(f"checked: {facts.count} facts, in store, files and servers, are all as told ({seconds:.1f} s)")
    _suggest(story, named, made)


def _attempts(job: Job) -> str:
    """As `retry, complete`."""
    return ", ".join(attempt.outcome for attempt in job.attempts)


def _took(job: Job) -> str:
    return span((job.finished_at - job.started_at).total_seconds()) if job.finished_at and job.started_at else "-"


def _suggest(story: Story, named: Mapping[str, Job], made: list[str]) -> None:
    """What was made, and commands to try next, as they work from here."""
    windlass = own_name()
    print(f"\n{story.place.folder / 'made'} holds")
    print(textwrap.fill(", ".join(made), width(), initial_indent="  ", subsequent_indent="  "))
    print("Try:")
    print(f"  export WINDLASS_URL={shlex.quote(story.place.url)}")
    for rest in (
        "dead ls",
        f"workflows show {story.workflow}",
        f"jobs history {story.ids['video']}",
        f"effects show post/{story.board.posts[0]['key']}" if story.board.posts else "",
        "alerts ls",
    ):
        if rest:
            print(f"  {windlass} {rest}")
