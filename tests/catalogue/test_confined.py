"""Foreign programs in sessions of their own: limits, cancellation, and no life after the worker's."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.waiting import until
from windlass.catalogue.confined import Limits, ProgramHung, ProgramMissing, ProgramTooBig, run

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(1000)"]


async def test_output_input_and_exit_code() -> None:
    done = await run(["cat"], limits=Limits(), given=b"some text" * 10_000)
    assert (done.code, len(done.out)) == (0, 90_000)
    done = await run([sys.executable, "-c", "import sys; sys.stderr.write('no'); sys.exit(3)"], limits=Limits())
    assert (done.code, done.said) == (3, "no")
    with pytest.raises(ProgramMissing, match="no-such-program"):
        await run(["no-such-program"], limits=Limits())


async def test_who_cannot_listen_ends_it() -> None:
    def deaf(line: str) -> bool:
        raise ValueError("I cannot read that")

    chatter = [sys.executable, "-c", "while True: print('line ' * 1000, flush=True)"]
    with pytest.raises(ValueError, match="cannot read"):
        await run(chatter, limits=Limits(timeout=60), on_line=deaf)


async def test_it_sees_none_of_the_workers_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    done = await run(["env"], limits=Limits())
    assert b"PATH=" in done.out
    assert b"secret" not in done.out


async def test_time_stall_memory_file_room_and_computing(tmp_path: Path) -> None:
    with pytest.raises(ProgramHung, match=r"longer than 0\.3 s"):
        await run(SLEEP, limits=Limits(timeout=0.3))
    with pytest.raises(ProgramHung, match=r"did nothing for 0\.3 s"):
        await run(SLEEP, limits=Limits(stall=0.3), on_line=lambda line: True)
    eat = [sys.executable, "-c", "x = bytearray(2 << 30)"]
    done = await run(eat, limits=Limits(memory=512 << 20))
    assert done.code == 1
    assert "MemoryError" in done.said
    write = ["dd", "if=/dev/zero", f"of={tmp_path}/big", "bs=1M", "count=20"]
    with pytest.raises(ProgramTooBig, match="over 1,000,000 bytes"):
        await run(write, limits=Limits(file=1_000_000))
    assert (tmp_path / "big").stat().st_size <= 1_000_000
    fill = f"import pathlib,time\nfor n in range(9): (pathlib.Path({str(tmp_path)!r})/f'f{{n}}').write_bytes(bytes(1<<20))\n"
    with pytest.raises(ProgramTooBig, match="of disk"):
        await run([sys.executable, "-c", fill + "time.sleep(1000)"], limits=Limits(room=4 << 20), folder=tmp_path)
    with pytest.raises(ProgramTooBig, match="computed for more than 1 s"):
        await run([sys.executable, "-c", "while True: pass"], limits=Limits(cpu=1))


async def test_cancelling_ends_it_and_its_children() -> None:
    pids: list[int] = []
    stubborn = "import signal,subprocess,os,time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    stubborn += "print(subprocess.Popen(['sleep','1000']).pid, os.getpid(), flush=True); time.sleep(1000)"

    def hear(line: str) -> bool:
        pids.extend(map(int, line.split()))
        return True

    task = asyncio.create_task(run([sys.executable, "-c", stubborn], limits=Limits(timeout=1000), on_line=hear))
    await until(lambda: len(pids) == 2, "the program to say its pids")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not any(alive(pid) for pid in pids), "both processes to be gone")


def test_it_dies_with_a_killed_worker() -> None:
    worker = (
        "import asyncio, sys\nfrom windlass.catalogue.confined import Limits, run\n"
        "asyncio.run(run([sys.executable, '-c', 'import os,time; print(os.getpid(), flush=True); time.sleep(1000)'],"
        " limits=Limits(timeout=1000), on_line=lambda line: bool(print(line, flush=True))))"
    )
    process = subprocess.Popen([sys.executable, "-c", worker], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    assert alive(pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    asyncio.run(until(lambda: not alive(pid), "the program to die with its worker"))


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
