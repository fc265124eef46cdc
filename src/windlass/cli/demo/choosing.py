"""Which demo is played: the story, or files where they are asked for or the story lacks something; and showing it afterwards."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from windlass.cli.options import Plain
from windlass.cli.show import note

if TYPE_CHECKING:
    from windlass.demo.place import Place


class Wish(NamedTuple):
    """What the command line asked for: `folder`, `files` and `database` are those of the demo on files. `dashboard`: it will be
    opened afterwards."""

    folder: Path | None
    files: int | None
    database: Path | None
    form: Plain
    dashboard: bool


class Played(NamedTuple):
    """The exit code, and where the story took place; None for files."""

    code: int
    place: "Place | None"


def play(wish: Wish) -> Played:
    """Play what is asked for, or what can be played here."""
    if wish.folder is None and wish.files is None and wish.database is None:
        from windlass.cli.demo.story.needs import find_programs

        programs = find_programs()
        if not isinstance(programs, str):
            from windlass.cli.demo.story.play import play as play_story
            from windlass.demo.sample import SampleFailed

            try:
                return Played(*play_story(programs, wish.form, stays=wish.dashboard))
            except SampleFailed as error:
                programs = f"no sample can be made here: {error}"
        note(f"the story of a video needs more: {programs}. Files then:")
    from windlass.cli.demo.files.play import Plan
    from windlass.cli.demo.files.play import play as play_files

    plan = Plan(wish.folder, wish.files, wish.database or Path("windlass-demo.db"), wish.form)
    return Played(play_files(plan), None)


def exhibit(played: Played) -> None:
    """Open the dashboard on the story's store, with a shop that is always busy; without a story on the shop alone."""
    from windlass.cli.developing import Bench, develop, show
    from windlass.cli.target import Target
    from windlass.demo.place import VARIABLE

    bench = Bench(0, (), False, True)
    if played.place is None:
        show(Target(None, None, None), bench)
    else:
        os.environ[VARIABLE] = str(played.place.folder)
        develop(Target(played.place.url, "windlass.demo.shown:app", "windlass"), bench)
