"""Which demo is played: the story, or files where they are asked for or the story lacks something."""

from pathlib import Path
from typing import NamedTuple

from windlass.cli.options import Plain
from windlass.cli.show import note


class Wish(NamedTuple):
    """What the command line asked for: `folder`, `files` and `database` are those of the demo on files."""

    folder: Path | None
    files: int | None
    database: Path | None
    form: Plain


class Played(NamedTuple):
    """The exit code, and where the jobs are if a dashboard shall show them."""

    code: int
    url: str | None


def play(wish: Wish) -> Played:
    """Play what is asked for, or what can be played here."""
    if wish.folder is None and wish.files is None and wish.database is None:
        from windlass.cli.demo.story.needs import find_programs

        programs = find_programs()
        if not isinstance(programs, str):
            from windlass.cli.demo.story.play import play as play_story

            code, url = play_story(programs, wish.form)
            return Played(code, url)
        note(f"the story of a video needs more: {programs}. Files then:")
    from windlass.cli.demo.files.play import Plan
    from windlass.cli.demo.files.play import play as play_files

    plan = Plan(wish.folder, wish.files, wish.database or Path("windlass-demo.db"), wish.form)
    return Played(play_files(plan), None)
