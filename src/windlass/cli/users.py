"""`windlass users`: what each user's jobs came to and cost."""

from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Plain, single

app = single()


@app.command("users")
def users(
    last: Annotated[
        str, typer.Option("--last", metavar="DURATION", help="How far to look back: 1h, 24h, 7d, 30d ...")
    ] = "24h",
    limit: options.Limit = 50,
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """The ledger of users: jobs, retries, run time and cost, the dearest first."""
    from windlass.cli.records import emit_users
    from windlass.cli.target import Target, on_app

    target = Target(url, app_ref, namespace)
    found = on_app(target, lambda app: app.users(last=last, limit=limit))
    emit_users(found, target.load().settings.currency, output)
