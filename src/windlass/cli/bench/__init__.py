"""`windlass bench`: what this machine does."""

from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Plain, single

app = single()


@app.command("bench")
def bench(
    jobs: Annotated[int, typer.Option("--jobs", metavar="N", min=100, max=10_000_000, help="Jobs per drain.")] = 20_000,
    processes: Annotated[int, typer.Option("--processes", "-p", metavar="P", min=1, help="Worker processes.")] = 1,
    rounds: Annotated[int, typer.Option("--rounds", metavar="N", min=1, help="The median of so many is told.")] = 3,
    output: options.PlainOutput = Plain.TEXT,
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", envvar="WINDLASS_URL", help="Which engine and disk; else a SQLite file."),
    ] = None,
) -> None:
    """Measure enqueue, drain and pickup with no-op jobs, on a database of its own that is removed afterwards."""
    from windlass.cli.bench.figures import emit_figures, summary
    from windlass.cli.bench.rounds import Load, measure
    from windlass.cli.show import note
    from windlass.cli.target import run_fast

    load = Load(jobs=jobs, processes=processes, rounds=rounds)
    measured = run_fast(measure(url, load, note if output is Plain.TEXT else lambda _: None))
    emit_figures(summary(measured, load), output)
