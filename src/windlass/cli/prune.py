"""`windlass prune`: delete old finished jobs."""

from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Plain, single

app = single()
Age = typer.Option(metavar="DURATION", help="Keep these for so long; 'ever' keeps them.")


@app.command("prune")
def prune(
    completed: Annotated[str, Age] = "24h",
    failed: Annotated[str, Age] = "90d",
    cancelled: Annotated[str, Age] = "7d",
    keep_completed: Annotated[int | None, typer.Option(min=0, help="Keep at most so many per queue.")] = None,
    keep_failed: Annotated[int | None, typer.Option(min=0, help="Keep at most so many per queue.")] = None,
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Delete finished jobs that are old enough (workers do it too), with their logs and metrics."""
    from windlass.cli.show import emit_json
    from windlass.cli.target import Target, with_store
    from windlass.store.protocol import Store
    from windlass.values.clock import micros
    from windlass.values.query import Retention

    def age(text: str, field: str) -> int | None:
        return None if text == "ever" else micros(text, field)

    retention = Retention(
        completed=age(completed, "completed"),
        failed=age(failed, "failed"),
        cancelled=age(cancelled, "cancelled"),
        keep_completed=keep_completed,
        keep_failed=keep_failed,
    )

    async def work(store: Store) -> int:
        total = 0
        while gone := await store.prune(retention, 1_000):
            total += gone
        return total

    gone = with_store(Target(url, app_ref, namespace), work)
    if output is Plain.JSON:
        emit_json({"deleted": gone})
    else:
        print(f"{gone:,} jobs deleted")
