"""`windlass stats`: counts, rates and latencies at a glance."""

from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Form, single

app = single()


@app.command("stats")
def stats(
    last: Annotated[
        str, typer.Option("--last", metavar="DURATION", help="How far rates and latencies look back.")
    ] = "1h",
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Counts per queue, and rates and latencies per kind."""
    from windlass.cli.figures import emit_figures, gather
    from windlass.cli.target import Target, with_store
    from windlass.values.clock import micros

    back = micros(last, "last", minimum=60)
    emit_figures(with_store(Target(url, app_ref, namespace), lambda store: gather(store, back)), output)
