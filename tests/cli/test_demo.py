"""`windlass demo` and `windlass bench`, small."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.terminal import COMMAND, Shell


def test_the_demo_checks_itself_and_its_suggestions_work(shell: Shell) -> None:
    answer = shell.ok("demo", "--files", "100")
    assert "checked: all 105 jobs ended exactly as computed without the queue" in answer.out
    assert "kill -9" in answer.out
    suggested = [line.strip() for line in answer.out.split("Try:")[1].splitlines() if line.strip()]
    assert len(suggested) >= 5
    for line in suggested:
        done = subprocess.run(
            line,
            shell=True,
            cwd=shell.folder,
            env=shell.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{line}: {done}"
        assert done.stdout.strip() or "worker" in line, line


def test_the_demo_reports_data_and_replaces_only_its_own_database(shell: Shell) -> None:
    folder = shell.folder / "sources"
    folder.mkdir()
    for number in range(60):
        (folder / f"m{number:02}.py").write_text(f"x = {number}\n" * (number + 1))
    words = ("demo", "sources", "-o", "json", "--db", "own.db")
    report = shell.ok(*words).json
    assert report["jobs"] == report["checked"] == 65
    assert (report["completed"], report["failed"], report["faults"]) == (61, 4, [])
    assert report["retried"] == 2
    assert report["rescued"] >= report["held_by_it"] >= 1
    assert shell.ok(*words).json["faults"] == []
    shell.ok("enqueue", "-A", "shop", "add", '{"a": 1}')
    answer = shell.run("demo", "sources", "--db", "shop.db")
    assert answer.code == 2
    assert "no demo made it" in answer.err
    assert len(shell.ok("jobs", "ls", "-A", "shop", "-o", "ids").lines) == 1


def test_a_wrong_result_is_found_and_is_exit_1(shell: Shell) -> None:
    """The check is real: files that change while their jobs run no longer match the truth computed at the end."""
    folder = shell.folder / "sources"
    folder.mkdir()
    for number in range(40):
        (folder / f"m{number:02}.py").write_text("x = 1\n")
    program = (
        "import sys\n"
        "from windlass.cli.demo.files import verdict\n"
        "real = verdict.truth\n"
        "verdict.truth = lambda task: {**(real(task) or {}), 'sha256': '0'} if 'm07' in task.path else real(task)\n"
        "sys.argv = ['windlass', 'demo', 'sources', '-o', 'json']\n"
        "from windlass.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [COMMAND[0], "-c", program],
        cwd=shell.folder,
        env=shell.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    (fault,) = json.loads(done.stdout)["faults"]
    assert "m07.py" in fault


@pytest.mark.parametrize("words", [["nowhere"], ["empty"]])
def test_a_folder_without_sources_is_exit_2(shell: Shell, words: list[str]) -> None:
    (shell.folder / "empty").mkdir()
    assert shell.run("demo", *words).code == 2
    assert not (shell.folder / "windlass-demo.db").exists()


def test_bench_tells_every_figure_and_leaves_nothing(shell: Shell, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    answer = shell.ok("bench", "--jobs", "500", "--rounds", "1", "-o", "json", TMPDIR=str(scratch))
    figures = answer.json
    assert figures["engine"] == "sqlite"
    assert (figures["jobs"], figures["processes"]) == (500, 1)
    for name in ("enqueue_single", "enqueue_bulk", "concurrent_enqueue", "drain"):
        assert figures[f"{name}_per_s"] > 0
    for name in ("pickup", "pickup_remote", "commit"):
        assert 0 < figures[f"{name}_p50_ms"] <= figures[f"{name}_p99_ms"]
    assert figures["bytes_per_job"] > 130
    assert figures["store"]["durability"]
    assert list(scratch.iterdir()) == []


def test_bench_measures_beside_the_file_it_is_given(shell: Shell) -> None:
    answer = shell.ok("bench", "--jobs", "200", "--rounds", "1", "--processes", "2", "--url", "sqlite:///mine.db")
    assert "drain" in answer.out
    assert not (shell.folder / "mine.db").exists()
    assert [path.name for path in shell.folder.iterdir()] == ["shop.py"]
