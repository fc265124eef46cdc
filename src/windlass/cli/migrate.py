"""`windlass migrate`: the store's schema."""

from windlass.cli import options
from windlass.cli.options import Plain, noun

app = noun("The store's schema: where it stands, and bringing it up.")


@app.command("status")
def status(
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Compare the store's schema with this version's; exit code 1 if they differ."""
    from windlass.cli.schema import emit_status, read_status
    from windlass.cli.target import Target

    emit_status(read_status(Target(url, app_ref, namespace)), output)


@app.command("up")
def up(
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Bring the store's schema to this version's."""
    from windlass.cli.schema import bring_up
    from windlass.cli.target import Target

    bring_up(Target(url, app_ref, namespace), output)
