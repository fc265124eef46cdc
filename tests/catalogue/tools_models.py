"""A server that speaks as OpenAI and Anthropic do, with faults on request; `test_content` lets their official SDKs judge it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

KEY = "good-key"
Answer: TypeAlias = tuple[int, dict[str, Any], dict[str, str]]


class FakeModels:
    """What was asked, and the faults that come next: `429`, `quota`, `overloaded`, `cut`, `prose`, `half`, `short`, `refusal`,
    `fenced`. `said`: what the model writes."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.faults: list[str] = []
        self.url = ""
        self.said: dict[str, Any] = {
            "summary": "A summary.",
            "keywords": ["queue", "jobs"],
            "posts": [
                {"platform": "twitter", "text": "Jobs, done once.", "hashtags": ["queue", "#jobs"], "media_hint": "a wheel"},
                {"platform": "linkedin", "text": "L" * 4_000, "hashtags": ["queue"], "media_hint": ""},
            ],
        }  # fmt: skip


@contextmanager
def fake_models() -> Iterator[FakeModels]:
    """The server on a free port while the block runs."""
    fake = FakeModels()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
            fake.asked.append(body)
            fake.headers.append({name.lower(): value for name, value in self.headers.items()})
            fault = fake.faults.pop(0) if fake.faults else ""
            if fault == "cut":
                self.close_connection = True
                self.connection.close()
                return
            speak = _anthropic if self.path.endswith("/messages") else _openai
            status, answer, headers = speak(fake, self, body, fault)
            content = json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {
                "content-type": "application/json",
                "content-length": str(len(content)),
                **headers,
            }.items():
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


def _written(fake: FakeModels, fault: str) -> Any:
    if fault == "prose":
        return "Sure! Here are your posts: ..."
    if fault == "short":
        return {**fake.said, "posts": fake.said["posts"][:1]}
    return fake.said


def _openai(fake: FakeModels, request: BaseHTTPRequestHandler, body: dict[str, Any], fault: str) -> Answer:
    def error(status: int, message: str, kind: str, code: str | None, **headers: str) -> Answer:
        return status, {"error": {"message": message, "type": kind, "param": None, "code": code}}, headers

    if request.headers.get("authorization") != f"Bearer {KEY}":
        return error(401, "Incorrect API key provided.", "invalid_request_error", "invalid_api_key")
    if fault == "429":
        return error(429, "Rate limit reached.", "requests", "rate_limit_exceeded", **{"retry-after": "7"})
    if fault == "quota":
        return error(429, "You exceeded your current quota.", "insufficient_quota", "insufficient_quota")
    if fault == "overloaded":
        return error(503, "The engine is overloaded.", "server_error", None)
    said = _written(fake, fault)
    text = said if isinstance(said, str) else json.dumps(said)
    text = f"```json\n{text}\n```" if fault == "fenced" else text[:40] if fault == "half" else text
    refused = fault == "refusal"
    message = {"role": "assistant", "content": None if refused else text, "refusal": "I cannot." if refused else None}
    finish = "length" if fault == "half" else "stop"
    return (
        200,
        {
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": body["model"],
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
            "usage": {"prompt_tokens": 1_000, "completion_tokens": 500, "total_tokens": 1_500},
        },
        {},
    )  # fmt: skip


def _anthropic(fake: FakeModels, request: BaseHTTPRequestHandler, body: dict[str, Any], fault: str) -> Answer:
    def error(status: int, kind: str, message: str, **headers: str) -> Answer:
        return status, {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}, headers

    if request.headers.get("authorization") != f"Bearer {KEY}":
        return error(401, "authentication_error", "invalid API key")
    if not request.headers.get("anthropic-version"):
        return error(400, "invalid_request_error", "anthropic-version: header is required")
    if fault == "429":
        return error(429, "rate_limit_error", "This request would exceed your rate limit.", **{"retry-after": "7"})
    if fault == "quota":
        return error(400, "invalid_request_error", "Your credit balance is too low to access the API.")
    if fault == "overloaded":
        return error(529, "overloaded_error", "Overloaded")
    said = _written(fake, fault)
    content: list[dict[str, Any]] = [{"type": "text", "text": said if isinstance(said, str) else "Here they are."}]
    stop = "end_turn"
    if fault == "refusal":
        content, stop = [], "refusal"
    elif fault == "half":
        content, stop = content[:1], "max_tokens"
    elif not isinstance(said, str):
        name = body["tool_choice"]["name"] if "tool_choice" in body else "write_posts"
        content.append({"type": "tool_use", "id": "toolu_1", "name": name, "input": said})
        stop = "tool_use"
    return (
        200,
        {
            "id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "content": content,
            "stop_reason": stop, "stop_sequence": None, "usage": {"input_tokens": 1_000, "output_tokens": 500},
        },
        {},
    )  # fmt: skip
