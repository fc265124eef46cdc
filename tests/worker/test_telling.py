"""What the log says of jobs that fail: a line for each, a sum for a storm, no secrets, and nothing to who did not ask."""

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

from windlass import Fail, Windlass, fixed
from windlass.operate.hooks import JobEvent
from windlass.secrecy import Keys, generate_key
from windlass.worker.telling import MOST


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "windlass.jobs"]


async def test_each_failed_attempt_is_a_line_and_a_dead_letter_a_warning(
    app: Windlass, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    @app.job(max_attempts=2, backoff=fixed(0))
    async def pay(card: str) -> None:
        raise ConnectionError("the bank is away\nand a second line")

    @app.job(max_attempts=1)
    def refuse() -> None:
        raise Fail("no such customer")

    @app.job
    async def work() -> None: ...

    async with app:
        await work.enqueue()
        refused = await refuse.enqueue()
        paid = await pay.enqueue("4111-canary")
        await app.drain()
    assert sorted(told(caplog)) == sorted(
        [
            ("INFO", f"pay {paid.id}, attempt 1 of 2, again in 0 s: ConnectionError: the bank is away"),
            (
                "WARNING",
                f"pay {paid.id}, attempt 2 of 2 failed for good: ConnectionError: the bank is away (attempts used up)",
            ),
            ("WARNING", f"refuse {refused.id}, attempt 1 of 1 failed for good: Fail: no such customer"),
        ]
    )


async def test_a_storm_of_failures_is_a_few_lines_and_the_sums_add_up(caplog: pytest.LogCaptureFixture) -> None:
    app = Windlass("sqlite://:memory:")
    caplog.set_level(logging.INFO)

    @app.job(max_attempts=1)
    async def fail(n: int) -> None:
        raise ValueError(n)

    async with app:
        await app.enqueue_many([fail.job(n) for n in range(10_000)])
        assert await app.drain() == 10_000
    lines = [text for _, text in told(caplog)]
    sums = [re.fullmatch(r"and ([\d,]+) more jobs failed for good: fail [\d,]+", text) for text in lines]
    summed = sum(int(found[1].replace(",", "")) for found in sums if found)
    assert summed + sum(1 for found in sums if not found) == 10_000
    seconds = sum(1 for found in sums if found)
    assert seconds >= 1
    assert len(lines) <= (MOST + 1) * (seconds + 1)


async def test_of_kinds_with_secrets_only_the_class_is_told(caplog: pytest.LogCaptureFixture) -> None:
    app = Windlass("sqlite://:memory:", encryption=Keys({"one": generate_key()}))
    caplog.set_level(logging.INFO)

    @app.job(encrypt=True, max_attempts=2, backoff=fixed(0))
    async def pay(card: str) -> None:
        raise ConnectionError(f"declined: {card}")

    async with app:
        await pay.enqueue("canary")
        await app.drain()
    lines = [text for _, text in told(caplog)]
    assert len(lines) == 2
    assert all(text.endswith("ConnectionError") for text in lines)
    assert "canary" not in caplog.text


async def test_a_text_cannot_forge_a_line_or_steer_the_terminal(caplog: pytest.LogCaptureFixture) -> None:
    app = Windlass("sqlite://:memory:")

    @app.job(max_attempts=1)
    async def fail() -> None:
        raise ValueError("\x1b[2Jgone\r2026 WARNING forged \u202e" + "x" * 1_000)

    async with app:
        await fail.enqueue()
        await app.drain()
    ((_, text),) = told(caplog)
    assert text.isprintable()
    assert "\\x1b[2Jgone\\r2026" in text
    assert len(text) < 400


async def test_hooks_on_the_workers_trouble_do_not_hear_of_jobs() -> None:
    app = Windlass("sqlite://:memory:")
    heard: list[str] = []

    @app.on("error", "failed")
    async def hear(event: JobEvent) -> None:
        heard.append(event.event)

    @app.job(max_attempts=1)
    async def fail() -> None:
        raise ValueError

    async with app:
        await fail.enqueue()
        await app.drain()
    assert heard == ["failed"]


PROGRAM = """
import asyncio
from windlass import Windlass

app = Windlass("sqlite://:memory:")

@app.job(max_attempts=1)
async def fail():
    raise ValueError("unheard")

async def main():
    async with app:
        await fail.enqueue()
        print(await app.drain())

asyncio.run(main())
"""


def test_a_program_that_configured_no_logging_stays_quiet(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ("1\n", "")
