"""The virus scanner: a real clamd with a database of its own, and what happens when it is gone, slow, or refuses."""

import asyncio
import contextlib
import io
import os
import socket
import tarfile
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.catalogue.tools import EICAR, need, running_clamd
from windlass.catalogue.scan import Clamd, ScannerRefused, ScannerUnavailable, TooLargeToScan, Verdict


@pytest.fixture(scope="module")
def clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clamd]:
    need("clamd")
    with running_clamd(tmp_path_factory.mktemp("clamd")) as address:
        yield Clamd(address, timeout=30)


def zipped(name: str, content: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return made.getvalue()


def tarred(name: str, content: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


async def test_clean_and_infected(clamd: Clamd, tmp_path: Path) -> None:
    await clamd.ping()
    assert (await clamd.version()).startswith("ClamAV 1")
    assert (await clamd.scan(b"hello")).is_clean
    assert await clamd.scan(b"") == Verdict()
    for infected in (EICAR, zipped("a.txt", EICAR), zipped("b.zip", zipped("a.txt", EICAR)), tarred("a", EICAR)):
        found = await clamd.scan(infected)
        assert found.signature is not None and found.signature.startswith("Test.Eicar")
    file = tmp_path / "marked"
    file.write_bytes(os.urandom(400_000) + b"WINDLASS-TEST-MARKER" + os.urandom(10))
    assert ((await clamd.scan(file)).signature or "").startswith("Test.Marker")

    async def parts() -> AsyncIterator[bytes]:
        for part in (EICAR[:20], b"", EICAR[20:]):
            yield part

    assert not (await clamd.scan(parts())).is_clean


async def test_the_answer_to_a_stream_that_is_too_long_is_heard(clamd: Clamd) -> None:
    for _ in range(20):
        with pytest.raises(TooLargeToScan):
            await clamd.scan(bytes(12 << 20))
    assert (await clamd.scan(bytes(1 << 20))).is_clean


async def test_the_same_over_tcp(tmp_path: Path) -> None:
    need("clamd")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with running_clamd(tmp_path / "clamd", port=port):
        clamd = Clamd(f"127.0.0.1:{port}")
        assert not (await clamd.scan(EICAR)).is_clean
        assert (await clamd.scan(os.urandom(1 << 20))).is_clean
        for _ in range(10):
            with pytest.raises(TooLargeToScan):
                await clamd.scan(bytes(12 << 20))


async def test_many_at_once(clamd: Clamd) -> None:
    async def one(n: int) -> bool:
        return (await clamd.scan(EICAR if n % 4 == 0 else os.urandom(1 << 18))).is_clean

    assert await asyncio.gather(*(one(n) for n in range(40))) == [n % 4 != 0 for n in range(40)]


async def test_a_scanner_that_is_gone_or_silent_or_odd(tmp_path: Path) -> None:
    with pytest.raises(ScannerUnavailable):
        await Clamd(f"unix:{tmp_path}/none.sock").ping()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ScannerUnavailable):
        await Clamd(f"tcp://127.0.0.1:{port}").scan(b"x")
    async with answering(None) as address:
        with pytest.raises(ScannerUnavailable, match="did not answer"):
            await Clamd(address, timeout=0.2).scan(b"x")
    async with answering(b"") as address:
        with pytest.raises(ScannerUnavailable, match="without an answer"):
            await Clamd(address).scan(b"x")
    async with answering(b"stream: Can't allocate memory ERROR\0") as address:
        with pytest.raises(ScannerRefused, match="allocate"):
            await Clamd(address).scan(b"x")
    async with answering(
        b"INSTREAM size limit exceeded. ERROR\0"
    ) as address:  # over TCP, where the reset may come first
        with pytest.raises(TooLargeToScan):
            await Clamd(address).scan(bytes(1 << 20))


@pytest.mark.parametrize("address", ["clamd", "tcp://", "tcp://host:port", ""])
def test_odd_addresses_are_refused(address: str) -> None:
    with pytest.raises(ValueError, match="no address of a clamd"):
        Clamd(address)


@contextlib.asynccontextmanager
async def answering(answer: bytes | None) -> AsyncIterator[str]:
    """A server that reads a little, answers and closes; or, for None, never answers."""
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        if answer is None:
            await over.wait()
        else:
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        over.set()
        server.close()
        await server.wait_closed()
