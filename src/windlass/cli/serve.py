"""`windlass serve`: the REST API."""

from enum import StrEnum
from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import single

app = single()


class Level(StrEnum):
    """How much the server tells of itself."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


Host = Annotated[str, typer.Option("--host", metavar="ADDRESS", envvar="WINDLASS_HOST", help="Where to listen.")]
Port = Annotated[
    int, typer.Option("--port", metavar="N", min=0, max=65535, envvar="WINDLASS_PORT", help="0 takes a free one.")
]
Proxies = Annotated[
    str | None,
    typer.Option(
        "--proxies",
        metavar="IPS",
        envvar="WINDLASS_PROXIES",
        help="Proxies whose X-Forwarded-For is believed; else nobody's.",
    ),
]
RootPath = Annotated[
    str,
    typer.Option("--root-path", metavar="PATH", envvar="WINDLASS_ROOT_PATH", help="The prefix a proxy cuts off."),
]
Worker = Annotated[
    bool,
    typer.Option(
        "--worker", envvar=["WINDLASS_START_WORKERS", "START_WORKERS"], help="Run the app's jobs in this process too."
    ),
]
LogLevel = Annotated[
    Level, typer.Option("--log-level", metavar="LEVEL", envvar="WINDLASS_LOG_LEVEL", help="What goes to stderr.")
]


@app.command("serve")
def serve(
    app_ref: options.AppRef = None,
    host: Host = "127.0.0.1",
    port: Port = 8100,
    proxies: Proxies = None,
    root_path: RootPath = "",
    worker: Worker = False,
    log_level: LogLevel = Level.INFO,
    url: options.Url = None,
    namespace: options.Namespace = None,
) -> None:
    """Serve the REST API. On this machine's own address it needs no credentials; anywhere else it refuses to start
    without a way to tell callers apart."""
    from windlass.cli.serving import Listening, listen
    from windlass.cli.target import Target

    listen(Target(url, app_ref, namespace), Listening(host, port, proxies, root_path, worker, log_level.value))
