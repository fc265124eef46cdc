"""`windlass encryption`: keys for payloads, and which of them jobs still need."""

from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Plain, noun

app = noun("Payload encryption: make keys, see which of them jobs need.")

KeyId = Annotated[str | None, typer.Option("--id", metavar="ID", help="The key's id; this month by default.")]


@app.command("generate")
def generate(id: KeyId = None, output: options.PlainOutput = Plain.TEXT) -> None:
    """Print a new key, as it goes in front of WINDLASS_ENCRYPTION_KEYS."""
    from windlass.cli.sealing import generate_key

    generate_key(id, output)


@app.command("status")
def status(
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Count jobs by the key they are encrypted with; ends with 1 if this process lacks one. Looks at every job."""
    from windlass.cli.sealing import show_status
    from windlass.cli.target import Target

    show_status(Target(url, app_ref, namespace), output)


@app.command("rotate")
def rotate(
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Say what of a rotation is left: new jobs use the first key at once, stored ones keep theirs until they are gone."""
    from windlass.cli.sealing import show_rotation
    from windlass.cli.target import Target

    show_rotation(Target(url, app_ref, namespace), output)
