"""`windlass kinds`: which kinds of job are known."""

from windlass.cli import options
from windlass.cli.options import Form, noun

app = noun("Which kinds of job are known, and their parameters.")


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
