"""The root command: which nouns there are, each imported only when it is used, so that `--help` stays quick."""

import contextlib
import io
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from windlass.cli.words import hint


class Entry(NamedTuple):
    """A command's module (its `app` is the Typer) and its line in the help."""

    module: str
    help: str


SECTIONS: dict[str, dict[str, Entry]] = {
    "Work": {
        "demo": Entry("windlass.cli.demo", "see it work: real files, a crash, a checked report; needs no service"),
        "worker": Entry("windlass.cli.worker", "run jobs until stopped (or until nothing is left)"),
        "dev": Entry("windlass.cli.dev", "develop: worker, API and dashboard, started anew when the code changes"),
        "serve": Entry("windlass.cli.serve", "serve the REST API; closed unless only this machine reaches it"),
        "enqueue": Entry("windlass.cli.enqueue", "put one job into a queue, and wait for its result if you like"),
        "bench": Entry("windlass.cli.bench", "measure this machine: enqueue, drain, pickup, bytes per job"),
    },
    "Look and act": {
        "jobs": Entry("windlass.cli.jobs", "list, show, explain, retry, cancel and remove jobs"),
        "dead": Entry("windlass.cli.dead", "the dead letters: list, judge, retry, replay, archive, purge"),
        "errors": Entry("windlass.cli.errors", "failures by what they have in common: list, show, retry, ignore"),
        "workflows": Entry("windlass.cli.workflows", "list, show, cancel and retry workflows and batches"),
        "queues": Entry("windlass.cli.queues", "list, pause and resume queues, and say which job is next"),
        "limits": Entry("windlass.cli.limits", "how many run at once or start in a while: list, set, clear"),
        "effects": Entry("windlass.cli.effects", "what jobs may have done outside: list the doubtful, show, resolve"),
        "breakers": Entry("windlass.cli.breakers", "the providers' circuit breakers: list, reset, open"),
        "schedules": Entry("windlass.cli.schedules", "recurring jobs: list, pause, trigger, preview the next times"),
        "alerts": Entry("windlass.cli.alerts", "what fires, and who is told: rules, channels, history"),
        "webhooks": Entry("windlass.cli.webhooks", "addresses that are told of events: add, test, deliveries, replay"),
        "workers": Entry("windlass.cli.workers", "which workers are alive and what they do"),
        "kinds": Entry("windlass.cli.kinds", "which kinds of job are known, and their parameters"),
        "stats": Entry("windlass.cli.stats", "counts, rates and latencies at a glance"),
        "metrics": Entry("windlass.cli.metrics", "outcomes, rates and times over hours and days; also for Prometheus"),
        "users": Entry("windlass.cli.users", "what each user's jobs came to and cost"),
        "audit": Entry("windlass.cli.audit", "who did what"),
        "health": Entry("windlass.cli.health", "are queues and workers well; in numbers, with what mends it"),
    },
    "Keep": {
        "keys": Entry("windlass.cli.keys", "API keys: create, list, revoke"),
        "encryption": Entry("windlass.cli.encryption", "payload encryption: make keys, see which of them jobs need"),
        "openapi": Entry("windlass.cli.openapi", "print the REST API's OpenAPI document, or its page"),
        "doctor": Entry("windlass.cli.doctor", "check the store, queues and workers; says how to mend what is wrong"),
        "migrate": Entry("windlass.cli.migrate", "the store's schema: status, up"),
        "migrate-engine": Entry(
            "windlass.cli.migrate_engine", "move jobs and schedules to another store: --from, --to"
        ),
        "prune": Entry("windlass.cli.prune", "delete old finished jobs"),
        "compact": Entry("windlass.cli.compact", "give free space in a SQLite file back to the disk"),
        "version": Entry("windlass.cli.version", "versions of Windlass, Python and the engines"),
    },
}
ENTRIES = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


class LazyGroup(TyperGroup):
    """A group whose commands are imported when they are called; the help comes from the table above."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(ENTRIES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        entry = ENTRIES.get(cmd_name)
        if entry is None:
            return None
        command = typer.main.get_command(import_module(entry.module).app)
        command.name = cmd_name
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in ENTRIES and not args[0].startswith("-"):
            ctx.fail(f"there is no command {args[0]!r}; {hint(args[0], ENTRIES)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for title, entries in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:9}", entry.help) for name, entry in entries.items()])


app = typer.Typer(
    cls=LazyGroup,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "WINDLASS"},
    epilog="Commands on a store take --url or -A module:app, every option has a WINDLASS_... variable. "
    "Exit codes: 0 ok, 1 failure, 2 usage, 3 not allowed, 4 not found, 5 store unreachable, 130 interrupted.",
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"windlass {version('windlass')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Windlass: a job queue for Python. Start with `windlass demo`."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def run() -> None:
    """Run the command line; every end is an exit code, every `WindlassError` one clear line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that is not UTF-8 gets escapes, not a traceback
            stream.reconfigure(errors="backslashreplace")
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)  # so that -A finds a module beside the caller, as `python -m` would
    command = typer.main.get_command(app)
    for option in command.params:  # they are questions, not settings: a stray WINDLASS_VERSION must not answer one
        option.allow_from_autoenv = False  # pyright: ignore[reportAttributeAccessIssue]
    try:
        command(prog_name="windlass")
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        from windlass.cli.complaint import complain

        code = complain(error)
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        sys.exit(code)
