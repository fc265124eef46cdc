"""Both type checkers accept the public API as it is meant to be used, and report every mistake of the bad file."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent


def lines_by_basedpyright(file: Path) -> set[int]:
    command = [sys.executable, "-m", "basedpyright", "--outputjson", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    found = json.loads(done.stdout)["generalDiagnostics"]
    return {each["range"]["start"]["line"] + 1 for each in found if each["severity"] == "error"}


def lines_by_mypy(file: Path) -> set[int]:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert not done.stderr, done.stderr
    found = [line.split(":", 2) for line in done.stdout.splitlines() if ": error:" in line]
    assert all(Path(where).name == file.name for where, _, _ in found), done.stdout
    return {int(number) for _, number, _ in found}


CHECKERS = {"basedpyright": lines_by_basedpyright, "mypy": lines_by_mypy}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("checker", CHECKERS)
def test_the_good_file_is_clean(checker: str) -> None:
    assert CHECKERS[checker](HERE / "types.py") == set()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("checker", CHECKERS)
def test_every_mistake_is_reported_and_nothing_else(checker: str) -> None:
    file = HERE / "types_bad.py"
    marked = {number for number, line in enumerate(file.read_text().splitlines(), 1) if "# E " in line}
    assert CHECKERS[checker](file) == marked
