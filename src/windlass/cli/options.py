"""Options that many commands share. Light: it is loaded for every help page."""

from enum import StrEnum
from typing import Annotated

import typer

from windlass.cli.words import Noun, Words


class Form(StrEnum):
    """How a listing is printed."""

    TABLE = "table"
    JSON = "json"
    IDS = "ids"


class Plain(StrEnum):
    """How an answer that lists nothing is printed."""

    TEXT = "text"
    JSON = "json"


class Chosen:
    """What the running command goes by: errors are printed in the form asked for too."""

    json = False
    store = ""
    """The address in use, without its password."""


def _remember(form: Form | Plain) -> Form | Plain:
    Chosen.json = form == "json"
    return form


def _typed_only(ctx: typer.Context, param: typer.CallbackParam, value: str | None) -> str | None:
    """None for a value from the environment: `Windlass(...)` reads that itself, and `-A module:app` goes before it, or
    a worker would serve another store than the one its own program enqueues into."""
    source = ctx.get_parameter_source(param.name) if param.name else None
    return None if source is not None and source.name == "ENVIRONMENT" else value


def noun(help: str) -> typer.Typer:
    """A group of verbs, such as `windlass jobs ...`."""
    app = Words(
        cls=Noun,
        help=help,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(lambda: None)  # keeps the verb in the command line when there is only one
    return app


def single() -> typer.Typer:
    """A command without verbs, such as `windlass stats`."""
    return Words(
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        envvar="WINDLASS_URL",
        callback=_typed_only,
        help="The store, e.g. sqlite:///jobs.db; over the app's own.",
    ),
]
AppRef = Annotated[
    str | None,
    typer.Option("-A", "--app", metavar="MODULE:APP", envvar="WINDLASS_APP", help="The app; its store is meant."),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        metavar="NAME",
        envvar="WINDLASS_NAMESPACE",
        callback=_typed_only,
        help="Part of the store; else 'windlass'.",
    ),
]
Output = Annotated[
    Form,
    typer.Option("-o", "--output", envvar="WINDLASS_OUTPUT", callback=_remember, help="How to print."),
]
PlainOutput = Annotated[
    Plain,
    typer.Option("-o", "--output", envvar="WINDLASS_OUTPUT", callback=_remember, help="How to print."),
]
Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Job ids; - reads them from stdin.")]
States = Annotated[list[str] | None, typer.Option("--state", metavar="STATE", help="Only these states (a,b or twice).")]
Queues = Annotated[list[str] | None, typer.Option("--queue", metavar="NAME", help="Only these queues.")]
Kinds = Annotated[list[str] | None, typer.Option("--kind", metavar="KIND", help="Only these kinds; 'mail.*' works.")]
User = Annotated[str | None, typer.Option("--user", metavar="USER", help="Only this user's.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="Only jobs with all these tags.")]
Limit = Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, max=1_000_000, help="At most this many.")]
Query = Annotated[
    str | None,
    typer.Option(
        "--query", "-w", metavar="FILTER", help="Such as 'state:failed error:Timeout age:>1h' (guides/api.md)."
    ),
]
Cursor = Annotated[str | None, typer.Option("--cursor", metavar="CURSOR", help="Go on where a page ended.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
