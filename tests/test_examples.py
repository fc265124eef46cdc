"""Every example runs, without a warning: as it is written, and those that need no file on every engine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.store.places import chosen_engines, place_for

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))
ADDRESS = '"sqlite://:memory:"'
ON_ENGINES = [example for example in EXAMPLES if ADDRESS in example.read_text()]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 10
    assert len(ON_ENGINES) >= 10


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example(example: Path, tmp_path: Path) -> None:
    run(example, tmp_path)


@pytest.mark.parametrize("engine", chosen_engines(processes=True))
@pytest.mark.parametrize("example", ON_ENGINES, ids=lambda path: path.stem)
def test_example_on(engine: str, example: Path, tmp_path: Path) -> None:
    with place_for(engine) as place:
        folder = tmp_path / "empty"
        folder.mkdir()
        script = tmp_path / example.name
        script.write_text(example.read_text().replace(ADDRESS, repr(place.url)))
        run(script, folder, WINDLASS_NAMESPACE=place.namespace)


def run(script: Path, folder: Path, **settings: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WINDLASS_", "REDIS_"))}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=folder,
        env=kept | settings,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout
    assert not list(folder.iterdir()), "an example left files behind"
