"""The command line: words and flags become calls, answers become text and exit codes; nothing is decided here."""


def main() -> None:
    """The `windlass` command; ends the process with an exit code."""
    from windlass.cli.root import run

    run()
