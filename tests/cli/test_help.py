"""Help: quick because nothing heavy is imported, complete, and within 80 columns."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from tests.cli.terminal import Shell
from windlass.cli.root import ENTRIES, app
from windlass.cli.words import ELSEWHERE, VERBS

HEAVY = ("asyncio", "msgspec", "rich", "apsw", "psutil", "windlass.app", "windlass.store", "uvloop")


def commands() -> Iterator[tuple[str, Any]]:
    group = typer.main.get_command(app)
    context = typer.Context(group, info_name="windlass")
    for name in ENTRIES:
        command = group.get_command(context, name)  # type: ignore[attr-defined]
        verbs = getattr(command, "commands", None)
        if verbs is None:
            yield name, command
        else:
            yield from ((f"{name} {verb}", inner) for verb, inner in verbs.items())


@pytest.mark.parametrize("words", ["--help", "jobs --help", "jobs ls --help", "worker --help", "bench --help"])
def test_help_imports_nothing_heavy(words: str) -> None:
    program = (
        "import sys\n"
        "from windlass.cli import main\n"
        f"sys.argv = ['windlass', *{words.split()!r}]\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "Usage: windlass" in done.stdout


def test_every_command_has_help_within_80_columns() -> None:
    for words in ("", *ENTRIES, *(name for name, _ in commands())):
        shown = help_of(words)
        assert shown.startswith("Usage: windlass")
        assert max(map(len, shown.splitlines())) <= 80, words


def test_every_option_has_a_variable_and_every_listing_three_forms() -> None:
    for name, command in commands():
        shown = " ".join(help_of(name).split())
        options = [option for option in command.params if option.param_type_name == "option" and option.name != "help"]
        assert shown.count("[env var: WINDLASS_") == len(options), name
        if name.endswith(" ls"):
            assert "<table|json|ids>" in shown, name
        assert "--url URL" in shown or name in (
            "version",
            "demo",
            "migrate-engine",
            "openapi",
            "encryption generate",
            "kinds catalogue",
        ), name


def help_of(words: str) -> str:
    answer = CliRunner().invoke(app, [*words.split(), "--help"], prog_name="windlass", env={"COLUMNS": "80"})
    assert answer.exit_code == 0, answer
    return answer.output


def test_the_contract_names_every_command() -> None:
    names = {name for name, _ in commands()}
    assert names >= {
        *("demo", "worker", "enqueue", "stats", "bench", "doctor", "prune", "version"),
        *("jobs ls", "jobs show", "jobs retry", "jobs cancel", "jobs rm", "queues ls", "queues pause", "queues resume"),
        *("dead ls", "dead retry", "dead purge", "workers ls", "kinds ls", "migrate status", "migrate up"),
    }


def test_a_misspelt_command_is_answered_with_the_right_one(shell: Shell) -> None:
    answer = shell.run("quues", "ls")
    assert answer.code == 2
    assert "did you mean queues?" in answer.err
    assert answer.out == ""


def test_version_comes_from_the_package_not_from_the_environment(shell: Shell) -> None:
    assert shell.ok("--version").out.startswith("windlass ")
    assert "Usage:" in shell.ok(WINDLASS_VERSION="1").out  # such variables are common in images
    versions = shell.ok("version", "-o", "json").json
    assert versions["apsw"] and versions["python"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("dead replay ID", "`windlass dead retry ID` runs single letters again"),
        ("users ls", "`windlass users` has no verbs, leave it out"),
        ("jobs list", "did you mean `windlass jobs ls`?"),
        ("keys delete ID", "did you mean `windlass keys revoke`?"),
        ("queues puase", "did you mean `windlass queues pause`?"),
        ("webhooks frob", "it has ls, add"),
        ("dead archive ID", "see its --help"),
        ("retry ID", "did you mean `windlass jobs retry`?"),
        ("dlq ls", "did you mean `windlass dead`?"),
    ],
)
def test_words_that_are_nearly_right_are_answered_with_the_right_ones(words: str, said: str) -> None:
    answer = CliRunner().invoke(app, words.split(), prog_name="windlass", env={"COLUMNS": "80"})
    assert answer.exit_code == 2
    assert said in answer.output


def test_every_hint_leads_to_a_command() -> None:
    names = {name for name, _ in commands()} | set(ENTRIES)
    verbs = {name.split()[1] for name in names if " " in name}
    for word, command in ELSEWHERE.items():
        assert command.format(word) in names, word
        assert word not in ENTRIES
    for word, meant in VERBS.items():
        assert verbs.intersection(meant), word


def test_the_help_of_a_noun_is_cut_nowhere() -> None:
    for noun in {name.split()[0] for name, _ in commands() if " " in name}:
        shown = help_of(noun)
        assert "..." not in shown.partition("Commands:")[2], noun
        verbs = {name.split()[1]: verb for name, verb in commands() if name.startswith(f"{noun} ")}
        for name, verb in verbs.items():
            assert " ".join(verb.get_short_help_str(1_000).split()) in " ".join(shown.split()), name


NAMED = re.compile(r"(?:^\s*(?:\$ )?|[`\"'])windlass ([a-z-]+) ([a-z-]+)", re.MULTILINE)


def test_the_commands_that_texts_name_are_there() -> None:
    names = {name for name, _ in commands()}
    nouns = {name.split()[0] for name in names if " " in name}
    root = Path(__file__).parents[2]
    for file in [*root.glob("src/windlass/**/*.py"), *root.glob("docs/guides/*.md"), root / "README.md"]:
        for noun, verb in NAMED.findall(file.read_text()):
            assert noun not in nouns or verb.startswith("-") or f"{noun} {verb}" in names, (file, noun, verb)
