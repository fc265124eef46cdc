"""`windlass dev`: worker, schedules, API and dashboard in one process that starts anew when the code changes."""

from pathlib import Path
from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import single

app = single()

Port = Annotated[
    int, typer.Option("--port", metavar="N", min=0, max=65535, envvar="WINDLASS_PORT", help="0 takes a free one.")
]
Watched = Annotated[
    list[Path] | None,
    typer.Option(
        "--watch", metavar="FOLDER", envvar="WINDLASS_WATCH", help="Where changes are looked for; again for more."
    ),
]
NoReload = Annotated[bool, typer.Option("--no-reload", envvar="WINDLASS_NO_RELOAD", help="Leave changes alone.")]
Showcase = Annotated[
    bool,
    typer.Option("--showcase", envvar="WINDLASS_SHOWCASE", help="A shop that is always busy, on a store of its own."),
]
Open = Annotated[bool, typer.Option("--open", envvar="WINDLASS_OPEN", help="Open the dashboard in a browser.")]


@app.command("dev")
def dev(
    app_ref: options.AppRef = None,
    port: Port = 8100,
    watch: Watched = None,
    no_reload: NoReload = False,
    open_browser: Open = False,
    showcase: Showcase = False,
    url: options.Url = None,
    namespace: options.Namespace = None,
) -> None:
    """Develop: run jobs and schedules, serve the API and the dashboard on this machine, and start anew when the code
    changes. Running jobs are given back first, so none is lost by a restart."""
    from windlass.cli.developing import Bench, develop, show
    from windlass.cli.target import Target

    folders = tuple(watch or (Path.cwd(),))
    bench = Bench(port, folders, not no_reload and not showcase, open_browser)
    (show if showcase else develop)(Target(url, app_ref, namespace), bench)
