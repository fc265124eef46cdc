"""A client in another language, which follows the OpenAPI document and nothing else, against `windlass serve --worker`."""

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.api_http.test_serving import answers, command, free_port, served

SCRIPT = Path(__file__).with_name("node_client.mjs")
OLDEST = 20
"""The first Node whose own fetch is stable and whose streams can be iterated."""


def node() -> str:
    """Node, or the test is skipped; on CI it fails."""
    found = shutil.which("node")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout if found else ""
    if found and int(version.removeprefix("v").split(".")[0]) >= OLDEST:
        return found
    why = f"Node {OLDEST} or newer is not here{f' (only {version.strip()})' if version else ''}"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


async def test_node_makes_a_workflow_follows_it_and_reads_its_result(tmp_path: Path) -> None:
    program, port = node(), free_port()
    made = command(tmp_path, "keys", "create", "node", "--role", "user", "--url", "sqlite:///jobs.db")
    assert made.returncode == 0, made.stderr
    base = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=base, trust_env=False) as client:
        with served(tmp_path, port, "--worker"):
            await answers(client)
            process = await asyncio.create_subprocess_exec(
                program, str(SCRIPT), base, made.stdout.strip(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            try:
                async with asyncio.timeout(90):
                    out, err = await process.communicate()
            except TimeoutError:
                process.kill()
                raise
    assert process.returncode == 0, err.decode()
    told = json.loads(out)
    assert told["openapi"].startswith("3.1")
    assert (told["state"], told["result"]) == ("completed", 142)
    assert "second completed" in told["seen"], told["seen"]
