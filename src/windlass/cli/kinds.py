"""`windlass kinds`: which kinds of job are known."""

from windlass.cli import options
from windlass.cli.options import Form, noun

app = noun("Which kinds of job are known, their parameters, and what ready-made ones need.")


@app.command("ls")
def ls(
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """List the kinds that workers and apps published, and those of -A."""
    from windlass.cli.known import emit_kinds, gather
    from windlass.cli.target import Target

    emit_kinds(gather(Target(url, app_ref, namespace)), output)


@app.command("catalogue")
def catalogue(output: options.Output = Form.TABLE, app_ref: options.AppRef = None) -> None:
    """List the ready-made kinds: which are ready here, or in the app of -A, what the others lack and how to mend it."""
    from windlass.cli.shelves import emit_catalogue

    emit_catalogue(output, app_ref)
