"""`windlass workers`: which workers are alive."""

from windlass.cli import options
from windlass.cli.options import Form, noun

app = noun("Which workers are alive and what they do.")


@app.command("ls")
def ls(
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """List live workers."""
    from windlass.cli.crew import emit_workers, gather
    from windlass.cli.target import Target, with_store

    workers, now = with_store(Target(url, app_ref, namespace), gather)
    emit_workers(workers, now, output)
