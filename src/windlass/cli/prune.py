"""`windlass prune`: delete old finished jobs."""

from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Plain, single

app = single()
Age = typer.Option(metavar="DURATION", help="Keep these for so long; 'ever' keeps them. Else the app's setting.")
Most = typer.Option(min=0, metavar="N", help="Keep at most so many per queue.")
Newest = typer.Option(min=0, metavar="N", help="Keep what remains of so many deleted jobs at most.")


@app.command("prune")
def prune(
    completed: Annotated[str | None, Age] = None,
    failed: Annotated[str | None, Age] = None,
    cancelled: Annotated[str | None, Age] = None,
    keep_completed: Annotated[int | None, Most] = None,
    keep_failed: Annotated[int | None, Most] = None,
    logs: Annotated[str | None, Age] = None,
    results: Annotated[str | None, Age] = None,
    audit: Annotated[str | None, Age] = None,
    history: Annotated[str | None, Age] = None,
    keep_history: Annotated[int | None, Newest] = None,
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Delete finished jobs that are old enough, with their logs (workers do it too), and old audit entries and histories.

    Queues whose code declares what they keep go by that, unless you say otherwise here.
    """
    from windlass.cli.pruning import prune_now
    from windlass.cli.show import emit_json
    from windlass.cli.target import Target

    ages = {
        "completed": completed, "failed": failed, "cancelled": cancelled, "logs": logs, "results": results, "audit": audit,
        "history": history,
    }  # fmt: skip
    counts = {"keep_completed": keep_completed, "keep_failed": keep_failed, "keep_history": keep_history}
    gone = prune_now(Target(url, app_ref, namespace), ages, counts)
    if output is Plain.JSON:
        emit_json({"deleted": gone})
    else:
        print(f"{gone:,} jobs pruned")
