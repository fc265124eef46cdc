"""`windlass demo`: a story of the catalogue's kinds, or the main job on source files; failures, a crash, all of it checked."""

from pathlib import Path
from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Plain, single

app = single()


@app.command("demo")
def demo(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER", help="Files instead of the story: a job for each .py file below it."),
    ] = None,
    files: Annotated[
        int | None, typer.Option("--files", metavar="N", min=10, help="Files instead of the story: at most so many.")
    ] = None,
    database: Annotated[
        Path | None,
        typer.Option(
            "--db", metavar="FILE", help="Files instead of the story: on this SQLite file; else windlass-demo.db."
        ),
    ] = None,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Then open the dashboard, with a shop that is always busy.")
    ] = False,
    output: options.PlainOutput = Plain.TEXT,
) -> None:
    """A video is checked, made smaller, written down, posted, mailed and reported; a worker is killed, a mail server says no, an
    answer is lost, and nothing is done twice or lost. No service, no account, no network. Without ffmpeg and the like: the same
    on source files, a job for each."""
    from windlass.cli.demo.choosing import Wish, exhibit, play

    ended = play(Wish(folder, files, database, output, dashboard))
    if dashboard and not ended.code:
        exhibit(ended)
    raise typer.Exit(ended.code)
