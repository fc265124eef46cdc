"""Playing the story: material, workers, the workflow, a kill, and what is said meanwhile."""

import asyncio
import os
import shutil
import time

from msgspec.structs import replace

from windlass.app import Windlass
from windlass.cli.demo.crew import LEASE, Crew, Killed
from windlass.cli.demo.story.checks import Story
from windlass.cli.demo.story.needs import make_folder
from windlass.cli.demo.story.screen import Screen
from windlass.cli.demo.story.telling import Line, Teller, status_of
from windlass.cli.demo.story.verdict import conclude
from windlass.cli.options import Plain
from windlass.cli.show import size
from windlass.demo.counterparts import Board, PostOffice, board, post_office
from windlass.demo.place import VARIABLE, Place
from windlass.demo.sample import HEIGHT, WIDTH, SampleFailed, make_broken, make_sample
from windlass.demo.story import BROKEN, CHANNEL, OPERATOR, READER, RULE, SAMPLE, WATCHED, make_app, make_story
from windlass.values.job import Job
from windlass.values.query import Where
from windlass.values.states import State

WORKERS = 2
_KILL_AT = 20.0
"""Percent of the video's progress from which on the worker is killed that makes it smaller."""
_LOOK = 0.04
_PATIENCE = 90.0
_ALERT = 15.0
"""Seconds for which the alert is waited for when all else has ended."""
_KEPT = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV")


def play(programs: Place, form: Plain, *, stays: bool = False) -> tuple[int, Place]:
    """Play it; 0 if everything is as it was told, else 1, and where it took place. `stays`: workers will go on there. Raises
    `SampleFailed` if the programs cannot make what is played with."""
    place = replace(programs, folder=make_folder())
    try:
        return asyncio.run(_play(place, form, stays))
    except SampleFailed:
        shutil.rmtree(place.folder)
        raise


async def _play(place: Place, form: Plain, stays: bool) -> tuple[int, Place]:
    screen = Screen(form is Plain.JSON)
    screen.say(
        f"A video is checked, made smaller, written down, posted, mailed and reported on: one workflow of ready-made jobs, "
        f"{WORKERS} worker processes with leases of {LEASE}, SQLite. Nothing leaves this machine. On the way a worker is "
        f"killed, a mail server says no, an answer is lost, and one video is broken."
    )
    _furnish(place)
    async with post_office(place.letters, READER) as office, board() as wall:
        place = replace(place, mail=office.port, board=wall.port)
        place.write()
        app = make_app(place)
        async with app:
            try:
                story = await _Performance(app, place, screen, office, wall).perform()
            finally:
                screen.close()
            code = await conclude(app, story, screen, form)
            if stays:  # the mail server leaves with us
                await app.alerts.put_rule(RULE, "dead-letters", queues=[WATCHED], channels=["log"])
            return code, place


def _furnish(place: Place) -> None:
    """The folders that servers and jobs write to."""
    place.letters.mkdir()
    (place.storage / SAMPLE).parent.mkdir(parents=True)


def _environment(place: Place) -> dict[str, str]:
    """What the workers see: nothing that would give them your keys, services or settings."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(("LC_", "PYTHON"))}
    return {**kept, VARIABLE: str(place.folder)}


class _Performance:
    def __init__(self, app: Windlass, place: Place, screen: Screen, office: PostOffice, wall: Board) -> None:
        self._app = app
        self._place = place
        self._screen = screen
        self._office = office
        self._wall = wall
        self._killed: Killed | None = None
        self._asked = False
        self._alerted = False

    async def perform(self) -> Story:
        """From the sample to the last end."""
        crew = Crew(["-A", "windlass.demo.served:app"], _environment(self._place))
        try:
            await crew.hire(WORKERS)
            await self._make_material()
            await self._app.alerts.put_channel(CHANNEL, "email", to=[OPERATOR])
            await self._app.alerts.put_rule(RULE, "dead-letters", queues=[WATCHED], channels=[CHANNEL])
            flow, jobs = make_story(self._app, self._place)
            ref = await self._app.run(flow)
            names = {job.id: name for name, job in jobs.items()}
            await self._follow(crew, ref.id, names)
            if self._killed is None:
                self._screen.tell(Line("killed", "nobody: the video was made before its worker could be killed"))
        finally:
            await crew.dismiss()
        return Story(
            place=self._place,
            workflow=ref.id,
            ids={name: id for id, name in names.items()},
            killed=self._killed,
            office=self._office,
            board=self._wall,
        )

    async def _make_material(self) -> None:
        path = self._place.storage / SAMPLE
        seconds = await asyncio.to_thread(make_sample, self._place, path)
        await asyncio.to_thread(make_broken, self._place.storage / BROKEN)
        bytes = (await asyncio.to_thread(path.stat)).st_size
        text = f"by espeak-ng and ffmpeg: {seconds:.1f} s, {WIDTH}x{HEIGHT}, {size(bytes)}"
        self._screen.tell(Line("sample.mp4", text))

    async def _follow(self, crew: Crew, workflow: str, names: dict[str, str]) -> None:
        """Tell what happens until every job has ended and the alert is out."""
        store = await self._app.store()
        teller = Teller(names, self._office, self._wall)
        end = time.monotonic() + _PATIENCE
        over: float | None = None
        while time.monotonic() < end:
            jobs = (await store.jobs(Where(workflow=workflow), None, 100)).items
            for line in teller.hear(jobs):
                self._screen.tell(line)
            self._screen.show(status_of(jobs, names))
            crew.check_alive()
            by_name = {names[job.id]: job for job in jobs}
            await self._kill(crew, by_name["video"])
            await self._alert(by_name["broken"])
            if all(job.is_final for job in jobs):
                over = over or time.monotonic()
                if self._alerted or time.monotonic() - over > _ALERT:
                    return
            await asyncio.sleep(_LOOK)
        self._screen.tell(Line("late", f"not over after {_PATIENCE:g} s, so it is broken off", "bad"))

    async def _kill(self, crew: Crew, video: Job) -> None:
        """Kill the worker that makes the video smaller, once it is well on its way. Not while it has another
        job beside: an alert that is mailed but not yet on record would be mailed again, and the story says that there is one."""
        if self._killed is not None or video.state is not State.ACTIVE or video.progress < _KILL_AT:
            return
        self._killed = await crew.kill_holder(await self._app.store(), video.id, alone=True)
        if self._killed is not None:
            text = f"kill -9 {self._killed.pid}, the worker at the video ({video.progress:.0f} %)"
            self._screen.tell(Line("killed", text, "bad"))

    async def _alert(self, broken: Job) -> None:
        """Have the rules looked at once there is a dead letter, which workers do by themselves every minute; tell the mail."""
        if broken.state is State.FAILED and not self._asked:
            self._asked = True
            await self._app.alerts.look()
        letters = self._office.got(OPERATOR)
        if letters and not self._alerted:
            self._alerted = True
            message = letters[0].message
            look = next((line for line in message.get_content().splitlines() if line.startswith("look: ")), "")
            self._screen.tell(Line("alert", f"mailed to {OPERATOR}: {message['Subject']}; {look}", "good"))
