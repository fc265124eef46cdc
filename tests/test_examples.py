"""Every example runs without a warning: as it is written, and on one more engine if it needs no file (in the soak on each)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.store.places import in_turns, place_for

FOLDER = Path(__file__).parent.parent / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))
ADDRESS = '"sqlite://:memory:"'
ON_ENGINES = [example for example in EXAMPLES if ADDRESS in example.read_text()]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 10
    assert len(ON_ENGINES) >= 10


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example(example: Path, tmp_path: Path) -> None:
    run(example, tmp_path)


@pytest.mark.parametrize(("engine", "example"), in_turns([], [example.stem for example in ON_ENGINES]))
def test_example_on(engine: str, example: str, tmp_path: Path) -> None:
    with place_for(engine) as place:
        folder = tmp_path / "empty"
        folder.mkdir()
        script = tmp_path / f"{example}.py"
        text = (FOLDER / script.name).read_text()
        script.write_text(text.replace(ADDRESS, repr(place.url)))
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
