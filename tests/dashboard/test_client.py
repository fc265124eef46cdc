"""Types, lint and the tests of the pure modules, by the client's own tools."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CLIENT = Path(__file__).parent.parent.parent / "dashboard"


@pytest.mark.parametrize("script", ["types", "lint", "test"])
def test_the_client_checks_itself(script: str) -> None:
    npm = shutil.which("npm")
    if npm is None or not (CLIENT / "node_modules").is_dir():
        reason = "node or the client's packages are not here; with Node: cd dashboard && npm ci"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    done = subprocess.run([npm, "run", "--silent", script], cwd=CLIENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
