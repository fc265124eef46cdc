"""`windlass errors`: failures by what they have in common."""

from enum import StrEnum
from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Form, Plain, noun

app = noun("Error groups: failures by what they have in common.")
Groups = Annotated[list[str], typer.Argument(metavar="GROUP...", help="Fingerprints of error groups.")]


class Mark(StrEnum):
    """What was said of a group."""

    OPEN = "open"
    RESOLVED = "resolved"
    IGNORED = "ignored"


@app.command("ls")
def ls(
    mark: Annotated[Mark | None, typer.Option("--mark", help="Only these.")] = None,
    new: Annotated[
        bool | None, typer.Option("--new/--known", help="Only those that your code's version met first, or not.")
    ] = None,
    limit: options.Limit = 50,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """List groups that have dead letters, or errors in the last 24 hours."""
    from windlass.cli.faults import emit_groups
    from windlass.cli.target import Target, on_app

    wanted = None if mark is None else mark.value
    target = Target(url, app_ref, namespace)
    emit_groups(on_app(target, lambda app: app.errors.list(mark=wanted, new=new, limit=min(limit, 1_000))), output)


@app.command("show")
def show(
    groups: Groups,
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """A group closely: its trace, its trend, where and since when."""
    from windlass.cli.faults import emit_group
    from windlass.cli.gates import on_each
    from windlass.cli.target import Target, on_app

    target = Target(url, app_ref, namespace)
    emit_group(on_app(target, lambda app: on_each(groups, app.errors.get)), output)


@app.command("retry")
def retry(
    groups: Groups,
    per_second: Annotated[
        float | None,
        typer.Option("--per-second", min=0.01, metavar="N", help="By a job of the workers, at most so many a second."),
    ] = None,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Run the dead letters of these groups again."""
    from windlass.cli.faults import retry_groups
    from windlass.cli.target import Target

    retry_groups(Target(url, app_ref, namespace), groups, per_second)


def _marker(name: str, help: str) -> None:
    @app.command(name, help=help)
    def mark(
        groups: Groups,
        output: options.Output = Form.TABLE,
        url: options.Url = None,
        app_ref: options.AppRef = None,
        namespace: options.Namespace = None,
    ) -> None:
        from windlass.cli.act import actor
        from windlass.cli.faults import emit_groups
        from windlass.cli.gates import on_each
        from windlass.cli.target import Target, on_app

        target = Target(url, app_ref, namespace)
        found = on_app(target, lambda app: on_each(groups, lambda id: getattr(app.errors, name)(id, actor=actor())))
        emit_groups(found, output)


_marker("resolve", "Say that the cause is mended; a group is open again when it happens again.")
_marker("ignore", "Say that nobody minds, until it is reopened.")
_marker("reopen", "Take back that a group is resolved or ignored.")
