"""What is typed after `windlass`: nouns and verbs whose help is complete, and hints for words that are nearly right."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

ELSEWHERE = {
    **dict.fromkeys(("show", "explain", "retry", "cancel", "rm", "history", "signal", "run-now"), "jobs {}"),
    **dict.fromkeys(("replay", "purge", "archive"), "dead {}"),
    **dict.fromkeys(("pause", "resume"), "queues {}"),
    **dict.fromkeys(("ls", "list", "search", "find"), "jobs ls"),
    **dict.fromkeys(("run", "start", "work"), "worker"),
    **dict.fromkeys(("dashboard", "ui", "web", "server", "api"), "serve"),
    **dict.fromkeys(("dlq", "dead-letters", "failed"), "dead"),
    **dict.fromkeys(("cron", "crons", "beat"), "schedules"),
    **dict.fromkeys(("status", "info", "top"), "stats"),
    **dict.fromkeys(("add", "push", "submit"), "enqueue"),
    "catalogue": "kinds catalogue",
    "trigger": "schedules trigger",
    "check": "doctor",
    "init": "migrate up",
    "update": "migrate up",
}
"""What other programs call a command, and verbs without their noun."""

VERBS = {
    **dict.fromkeys(("list", "all", "find", "search"), ("ls",)),
    **dict.fromkeys(("get", "describe", "info", "detail"), ("show",)),
    **dict.fromkeys(("delete", "remove", "del", "drop", "rm"), ("rm", "remove", "revoke", "clear", "unset", "purge")),
    **dict.fromkeys(("requeue", "rerun", "redo"), ("retry", "replay")),
    **dict.fromkeys(("kill", "stop", "abort"), ("cancel", "pause")),
    **dict.fromkeys(("new", "make"), ("create", "add", "set")),
    **dict.fromkeys(("start", "unpause"), ("resume",)),
    **dict.fromkeys(("run", "fire"), ("trigger",)),
    "why": ("explain",),
}
"""Verbs as other programs call them: the first that a noun has is meant."""

_INSTEAD = {
    "windlass dead replay": "it takes filters or --all; `windlass dead retry {}` runs single letters again",
    "windlass prune": "it takes ages, such as --completed 1h; `windlass jobs rm {}` removes single jobs",
}


class Verb(TyperCommand):
    """A command that says what to type instead of a word that it does not take."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.allow_extra_args = True
        left = super().parse_args(ctx, args)
        if ctx.args and not ctx.resilient_parsing:
            words = " ".join(ctx.args)
            alone = ctx.command_path.count(" ") == 1 and not any(
                each.param_type_name == "argument" for each in self.params
            )
            otherwise = "has no verbs, leave it out" if alone else "does not take it, see its --help"
            otherwise = f"`{ctx.command_path}` {otherwise}"
            ctx.fail(f"{words!r} is too much: {_INSTEAD.get(ctx.command_path, otherwise).format(words)}")
        return left


class Noun(TyperGroup):
    """Verbs, each with the whole of its sentence: it is wrapped, never cut."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        word = args[0]
        if word not in self.commands and not word.startswith("-"):
            meant = [verb for verb in VERBS.get(word, ()) if verb in self.commands]
            near: list[str] = meant or get_close_matches(word, list(self.commands), 1)
            hint = f"did you mean `{ctx.command_path} {near[0]}`?" if near else f"it has {', '.join(self.commands)}"
            ctx.fail(f"there is no `{ctx.command_path} {word}`; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.get_short_help_str(1_000)) for name, verb in self.commands.items()])


class Words(typer.Typer):
    """A Typer whose commands are verbs."""

    def command(self, name: str | None = None, *, cls: type[TyperCommand] | None = None, **settings: Any) -> Any:
        return super().command(name, cls=cls or Verb, **settings)


def hint(word: str, known: Iterable[str]) -> str:
    """What to say of a command that there is not."""
    if word in ELSEWHERE:
        return f"did you mean `windlass {ELSEWHERE[word].format(word)}`?"
    near = get_close_matches(word, list(known), 1)
    return f"did you mean {near[0]}?" if near else "`windlass --help` lists them"
