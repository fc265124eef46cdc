"""`windlass workflows`: forms, the graph in 80 columns, cancel, retry, exit codes."""

import subprocess
import sys

import pytest

from tests.cli.terminal import Shell
from tests.store.places import a_file_and_a_server

pytestmark = pytest.mark.parametrize("engine", a_file_and_a_server(__name__), indirect=True)

A = ("-A", "shop")
FLOWS = """
import asyncio
from shop import add, app, greet, send
from windlass import batch, chain, group

async def main():
    async with app:
        members = [add.job(n) for n in range(40)] + [send.job("nobody")]
        called = batch(members, then=greet.job("then"), on_success=greet.job("good"), name="n")
        bad = chain(greet.options(name="x" * 60).job("a"), called)
        print((await app.run(bad)).id)
        await app.drain()
        await app.drain()
        print((await app.run(batch([chain(add.job(1), add.job(2)), add.job(3)], then=greet.job("b"), name="nightly"))).id)

asyncio.run(main())
"""


@pytest.fixture
def ids(shell: Shell) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", FLOWS],
        cwd=shell.folder,
        env=shell.environment,
        check=True,
        timeout=60,
        capture_output=True,
    )
    return done.stdout.decode().split()


def test_a_letter_run_again_tells_what_its_failure_ended(shell: Shell) -> None:
    code = FLOWS.split("async def main", 1)[0] + (
        "async def main():\n    async with app:\n"
        "        print((await app.run(chain(send.job('nobody'), greet.job('a'), greet.job('b')))).id)\n"
        "        await app.drain()\n\nasyncio.run(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=shell.folder, env=shell.environment, check=True, capture_output=True
    )
    flow = done.stdout.decode().strip()
    (id,) = shell.ok("dead", "ls", *A, "-o", "ids").lines
    mend = f"windlass workflows retry {' '.join(A)} {flow}"
    told = f"2 jobs that a failure ended in workflow {flow} stay so: {mend}\n"
    assert shell.ok("dead", "retry", *A, id).err == told
    shell.ok("worker", *A, "--until-idle")
    assert shell.ok("dead", "retry", *A, id, "--args", '{"to": "noone"}').err == told
    shell.ok(*mend.split()[1:])
    shell.ok("worker", *A, "--until-idle")
    assert shell.ok("dead", "retry", *A, "--all").err == told


def test_listing(shell: Shell, ids: list[str]) -> None:
    assert shell.ok("workflows", "ls", *A, "-o", "ids").lines == ids[::-1]
    items = shell.ok("workflows", "ls", *A, "-o", "json").json["items"]
    assert [(item["state"], item["name"], item["jobs"]) for item in items] == [
        ("running", "nightly", 4),
        ("failed", None, 44),
    ]
    head, *rows = shell.ok("workflows", "ls", *A).lines
    assert head.split() == ["ID", "STATE", "NAME", "JOBS", "AGE"]
    assert [row.split()[0] for row in rows] == ids[::-1]


def test_the_graph_fits_eighty_columns(shell: Shell, ids: list[str]) -> None:
    lines = shell.ok("workflows", "show", *A, ids[0]).lines
    assert max(map(len, lines)) <= 80
    assert lines[0] == "failed, 44 jobs: 1 cancelled 42 completed 1 failed"
    text = "\n".join(lines)
    assert "add x40" in text
    assert "all completed" in text
    assert "after 2, 3" in text
    graph = shell.ok("workflows", "show", *A, ids[0], "-o", "json").json
    assert (len(graph["nodes"]), len(graph["edges"]), graph["state"]) == (44, 41 + 41 * 2, "failed")


def test_cancel_and_retry(shell: Shell, ids: list[str]) -> None:
    assert shell.run("workflows", "cancel", *A, ids[1]).code == 2
    assert shell.ok("workflows", "cancel", *A, ids[1], "--yes").lines == ["4 jobs cancelled"]
    assert shell.ok("workflows", "retry", *A, ids[1]).lines == ["4 jobs will run again"]
    assert "4 jobs: 2 blocked 2 waiting" in shell.ok("workflows", "show", *A, ids[1]).lines[0]
    assert shell.run("workflows", "show", *A, "nothing").code == 4
