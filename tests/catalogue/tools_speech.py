"""A server that speaks as ElevenLabs and OpenAI do, with faults on request; `test_audio` lets their official SDKs judge it."""

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

KEY = "good-key"
MOST_INPUT = 4096


class Asked(NamedTuple):
    """A request that came in."""

    path: str
    fields: dict[str, Any]
    size: int


class FakeSpeech:
    """What the server was asked, and the faults that it is to show next: `429`, `quota`, `503`, `cut`, `garbage`, `empty`."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.faults: list[str] = []
        self.text = [("a job queue runs work", 0.0, 2.0), ("in the background", 2.5, 4.0)]
        self.url = ""

    def count(self, what: str) -> int:
        return sum(what in asked.path for asked in self.asked)


@contextmanager
def fake_speech() -> Iterator[FakeSpeech]:
    """The server on a free port while the block runs."""
    fake = FakeSpeech()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.headers.get("transfer-encoding") == "chunked":
                body = _chunks(self.rfile)
            fields = _fields(self.headers.get("content-type", ""), body)
            fake.asked.append(Asked(self.path, fields, len(body)))
            fault = fake.faults.pop(0) if fake.faults else ""
            answer = _answer(fake, self, fields, fault)
            if answer is None:
                self.close_connection = True
                self.connection.close()
                return
            status, kind, content, headers = answer
            self.send_response(status)
            for name, value in {"content-type": kind, "content-length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


Answer = tuple[int, str, bytes, dict[str, str]]


def _answer(fake: FakeSpeech, request: BaseHTTPRequestHandler, fields: dict[str, Any], fault: str) -> Answer | None:
    if fault == "cut":
        return None
    if fault == "garbage":
        return 200, "text/html", b"<html>welcome to the hotel</html>", {}
    if fault == "empty":
        return 200, "audio/mpeg", b"", {}
    path = request.path.partition("?")[0]
    if path.startswith("/v1/text-to-speech/"):
        return _elevenlabs(request, path.rpartition("/")[2], fields, fault)
    if request.headers.get("authorization") != f"Bearer {KEY}":
        return _openai_error(401, "Incorrect API key provided.", "invalid_request_error", "invalid_api_key")
    if fault == "429":
        return _openai_error(429, "Rate limit reached.", "requests", "rate_limit_exceeded", {"retry-after": "7"})
    if fault == "quota":
        return _openai_error(429, "You exceeded your current quota.", "insufficient_quota", "insufficient_quota")
    if fault == "503":
        return _openai_error(503, "The engine is overloaded.", "server_error", None)
    if path.endswith("/audio/speech"):
        if len(fields.get("input", "")) > MOST_INPUT:
            return _openai_error(400, "string too long", "invalid_request_error", "string_above_max_length")
        if fields.get("voice") not in ("alloy", "echo", "nova"):
            return _openai_error(400, "unknown voice", "invalid_request_error", "invalid_value")
        return 200, "audio/mpeg", sound(), {}
    return _transcription(fake, fields)


def _elevenlabs(request: BaseHTTPRequestHandler, voice: str, fields: dict[str, Any], fault: str) -> Answer:
    def error(status: int, word: str, message: str, headers: dict[str, str] | None = None) -> Answer:
        body = {"detail": {"status": word, "message": message}}
        return status, "application/json", json.dumps(body).encode(), headers or {}

    if request.headers.get("xi-api-key") != KEY:
        return error(401, "invalid_api_key", "Invalid API key")
    if fault == "429":
        return error(429, "too_many_concurrent_requests", "Too many requests", {"retry-after": "7"})
    if fault == "quota":
        return error(401, "quota_exceeded", "This request exceeds your quota.")
    if fault == "503":
        return error(503, "system_busy", "Busy")
    if voice == "missing":
        return error(404, "voice_not_found", "A voice with the voice_id missing was not found.")
    if not fields.get("text"):
        detail = [{"loc": ["body", "text"], "msg": "Field required", "type": "missing"}]
        return 422, "application/json", json.dumps({"detail": detail}).encode(), {}
    return 200, "audio/mpeg", sound(), {}


def _transcription(fake: FakeSpeech, fields: dict[str, Any]) -> Answer:
    text = " ".join(said for said, _, _ in fake.text)
    if fields.get("response_format") != "verbose_json":
        return 200, "application/json", json.dumps({"text": text}).encode(), {}
    segments = [
        {
            "id": n,
            "seek": 0,
            "start": start,
            "end": end,
            "text": f" {said}",
            "tokens": [1],
            "temperature": 0.0,
            "avg_logprob": -0.2,
            "compression_ratio": 1.0,
            "no_speech_prob": 0.01,
        }
        for n, (said, start, end) in enumerate(fake.text)
    ]
    whole = {"task": "transcribe", "language": "english", "duration": 4.0, "text": text, "segments": segments}
    return 200, "application/json", json.dumps(whole).encode(), {}


def _openai_error(
    status: int, message: str, kind: str, code: str | None, headers: dict[str, str] | None = None
) -> Answer:
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return status, "application/json", json.dumps(body).encode(), headers or {}


def _fields(kind: str, body: bytes) -> dict[str, Any]:
    if kind.startswith("application/json"):
        return json.loads(body)
    if not kind.startswith("multipart/form-data"):
        return {}
    message = BytesParser().parsebytes(b"content-type: " + kind.encode() + b"\r\n\r\n" + body)
    found: dict[str, Any] = {}
    for part in message.get_payload():  # type: ignore[union-attr]
        name = re.search(r'name="([^"]*)"', str(part["content-disposition"]))  # type: ignore[index]
        content = part.get_payload(decode=True)  # type: ignore[union-attr]
        if name and "filename" in str(part["content-disposition"]):  # type: ignore[index]
            found[name[1]] = content
        elif name:
            found[name[1]] = content.decode()  # type: ignore[union-attr]
    return found


def _chunks(stream: Any) -> bytes:
    found = b""
    while size := int(stream.readline().strip(), 16):
        found += stream.read(size)
        stream.readline()
    stream.readline()
    return found


@cache
def sound() -> bytes:
    """A second of a tone as MP3."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tone.mp3"
        subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=duration=1", str(path)], check=True)
        return path.read_bytes()
