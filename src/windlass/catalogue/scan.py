"""ClamAV over its socket: a stream is scanned, and clamd's answer is heard even when it stops reading half-way."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from windlass import WindlassError

_CHUNK = 128 * 1024
_LONGEST_ANSWER = 4096
_PORT = 3310


class ScannerUnavailable(WindlassError):
    """clamd cannot be reached or does not answer. What it was to scan counts as not clean."""

    code = "scanner-unavailable"
    category = "provider"


class ScannerRefused(WindlassError):
    """clamd answered that it could not scan: an error of its own, such as a full disk."""

    code = "scanner-refused"


class TooLargeToScan(WindlassError):
    """The file is over clamd's StreamMaxLength. It counts as not clean, today and tomorrow."""

    code = "too-large-to-scan"
    retryable = False


class Verdict(msgspec.Struct, frozen=True):
    """What the scanner found: the name of a signature, or nothing."""

    signature: str | None = None

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found."""
        return self.signature is None


class Clamd:
    """A clamd at `/path/to/socket` or `host:port` (`unix:` and `tcp://` may stand before). `timeout`: of a whole scan."""

    def __init__(self, address: str, timeout: float = 60.0) -> None:
        self._family, self._place = _read(address)
        self.address = address
        self._timeout = timeout

    async def ping(self) -> None:
        """Raises `ScannerUnavailable` unless clamd answers."""
        answer = await self._asked(b"zPING\0", None)
        if answer != "PONG":
            raise ScannerUnavailable(f"clamd at {self.address} answered {answer[:100]!r}")

    async def version(self) -> str:
        """Its version with that of its signatures, such as `ClamAV 1.4.6/27100/...`: another one may find more."""
        return await self._asked(b"zVERSION\0", None)

    async def scan(self, content: bytes | Path | AsyncIterable[bytes]) -> Verdict:
        """Stream a content to clamd. Raises `TooLargeToScan`, `ScannerUnavailable`, `ScannerRefused`."""
        answer = await self._asked(b"zINSTREAM\0", _chunks(content))
        if "size limit exceeded" in answer:
            raise TooLargeToScan("the file is larger than clamd scans (its StreamMaxLength)")
        said = answer.removeprefix("stream: ")
        if said == "OK":
            return Verdict()
        if said.endswith(" FOUND"):
            return Verdict(said.removesuffix(" FOUND"))
        raise ScannerRefused(f"clamd could not scan: {answer[:200]}")

    async def _asked(self, command: bytes, chunks: AsyncIterator[bytes] | None) -> str:
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._talk(command, chunks)
        except TimeoutError as error:
            raise ScannerUnavailable(f"clamd at {self.address} did not answer in {self._timeout:g} s") from error
        except OSError as error:
            raise ScannerUnavailable(f"clamd at {self.address} cannot be reached: {error}") from error
        if not answer:
            raise ScannerUnavailable(f"clamd at {self.address} closed the connection without an answer")
        return answer.rstrip(b"\0\n").decode("utf-8", "replace")

    async def _talk(self, command: bytes, chunks: AsyncIterator[bytes] | None) -> bytes:
        """A plain socket: asyncio's streams lose an answer that comes before all was sent, since the failing write closes
        them, and clamd answers and closes as soon as a stream gets too long."""
        loop = asyncio.get_running_loop()
        with socket.socket(self._family, socket.SOCK_STREAM) as line:
            line.setblocking(False)
            await loop.sock_connect(line, self._place)
            await loop.sock_sendall(line, command)
            if chunks is not None:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    async for chunk in chunks:
                        await loop.sock_sendall(line, len(chunk).to_bytes(4, "big") + chunk)
                    await loop.sock_sendall(line, b"\0\0\0\0")
            return await _heard(loop, line)


async def _heard(loop: asyncio.AbstractEventLoop, line: socket.socket) -> bytes:
    answer = b""
    while len(answer) < _LONGEST_ANSWER and not answer.endswith(b"\0"):
        try:
            part = await loop.sock_recv(line, _LONGEST_ANSWER)
        except ConnectionResetError:  # it closed with some of ours unread, after its answer
            break
        if not part:
            break
        answer += part
    return answer


async def _chunks(content: bytes | Path | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    if isinstance(content, bytes):
        for at in range(0, len(content), _CHUNK):
            yield content[at : at + _CHUNK]
    elif isinstance(content, Path):
        with await asyncio.to_thread(content.open, "rb") as file:
            while part := await asyncio.to_thread(file.read, _CHUNK):
                yield part
    else:
        async for part in content:
            if part:  # a chunk of no bytes would end the stream
                yield part


def _read(address: str) -> tuple[socket.AddressFamily, str | tuple[str, int]]:
    if address.startswith("unix:/"):
        return socket.AF_UNIX, address.removeprefix("unix:")
    with contextlib.suppress(ValueError):  # of a port that is no number
        parts = urlsplit(address if "://" in address else f"tcp://{address}")
        if parts.scheme == "tcp" and parts.hostname and (parts.port or "://" in address):
            family = socket.AF_INET6 if ":" in parts.hostname else socket.AF_INET
            return family, (parts.hostname, parts.port or _PORT)
    if address.startswith("/"):
        return socket.AF_UNIX, address
    raise ValueError(f"{address!r} is no address of a clamd: use /path/to/socket or host:port")
