"""The jobs of `windlass demo`: measure source files, in all three runtimes; `-A windlass.demo.files:app` serves them.

`facts` is plain Python without a queue: the handlers use it, and the demo computes the truth with it.
"""

import ast
import asyncio
import hashlib
import os
import warnings
from pathlib import Path

from windlass import Context, Fail, Windlass, fixed

app = Windlass(
    os.environ.get("WINDLASS_DEMO_URL", "sqlite:///windlass-demo.db"), namespace="windlass", maintenance=False
)

Facts = dict[str, str | int]


def facts(path: str) -> Facts:
    """Bytes, lines and sha256 of a file."""
    data = Path(path).read_bytes()
    return {"path": path, "bytes": len(data), "lines": data.count(b"\n"), "sha256": hashlib.sha256(data).hexdigest()}


def syntax(path: str) -> Facts:
    """The same, and how many statements the file has at its top. Raises `SyntaxError` or `ValueError` if it has none."""
    found = facts(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old escapes in other people's sources
        tree = ast.parse(Path(path).read_bytes(), path)
    return {**found, "statements": len(tree.body)}


@app.job(queue="files")
async def survey(path: str) -> Facts:
    """Measure a file on the event loop's side; the reading itself is done in a thread."""
    return await asyncio.to_thread(facts, path)


@app.job(queue="files", runtime="thread")
def checksum(path: str) -> Facts:
    """Measure a file in a thread. A file that is not there is a permanent error."""
    return facts(path)


@app.job(queue="syntax", runtime="process")
def parse(path: str) -> Facts:
    """Measure and parse a file in a process of its own; one that is not Python goes to the dead letters at once."""
    try:
        return syntax(path)
    except (SyntaxError, ValueError) as error:
        raise Fail(f"does not parse: {error}") from error


@app.job(queue="files")
async def arriving(path: str) -> Facts:
    """Measure a file that is still on its way. The worker that waits for it is the one that the demo kills."""
    while not await asyncio.to_thread(Path(path).exists):  # noqa: ASYNC110 - a file system wakes nobody
        await asyncio.sleep(0.05)
    return await asyncio.to_thread(facts, path)


@app.job(queue="files", max_attempts=3, backoff=fixed("250ms"))
async def unsteady(ctx: Context, path: str) -> Facts:
    """Measure a file, but only at the second attempt."""
    if ctx.attempt == 1:
        raise ConnectionError("planned: the first attempt fails")
    return await asyncio.to_thread(facts, path)
