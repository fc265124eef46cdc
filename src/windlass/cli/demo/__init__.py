"""`windlass demo`: the main job on real input, with failures and a crash, checked against the truth."""

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
        typer.Argument(metavar="FOLDER", help="Whose .py files to take; else this Python's standard library."),
    ] = None,
    files: Annotated[int | None, typer.Option("--files", metavar="N", min=10, help="At most so many files.")] = None,
    database: Annotated[
        Path, typer.Option("--db", metavar="FILE", help="The SQLite file; replaced if a demo made it.")
    ] = Path("windlass-demo.db"),
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Then open the dashboard, with a shop that is always busy.")
    ] = False,
    output: options.PlainOutput = Plain.TEXT,
) -> None:
    """A job per source file, in threads, processes and on the event loop; some fail, one worker is killed; no service."""
    from windlass.cli.demo.play import Plan, play

    ended = play(Plan(folder, files, database, output))
    if dashboard and not ended:
        from windlass.cli.developing import Bench, show
        from windlass.cli.target import Target

        show(Target(None, None, None), Bench(0, (), False, True))
    raise typer.Exit(ended)
