"""Fakes of three mail providers' HTTP APIs, on one port. Believed only as far as the vendors' own SDKs are content with them."""

import json
import threading
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "key-0f-tests"


class MailApis:
    """What was accepted, by provider; `answers`: what is said next instead, each once: a status, `cut` (accepted, and the
    answer is lost) or `hang up` (not accepted)."""

    def __init__(self) -> None:
        self.accepted: dict[str, list[dict[str, Any]]] = {"sendgrid": [], "resend": [], "postmark": []}
        self.answers: deque[int | str] = deque()
        self.keys: dict[str, tuple[str, str]] = {}
        self.requests = 0
        self.url = ""


@contextmanager
def mail_apis() -> Iterator[MailApis]:
    """The fakes, while the block runs."""
    apis = MailApis()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"apis": apis}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    apis.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield apis
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    apis: MailApis
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.apis.requests += 1
        fault = self.apis.answers.popleft() if self.apis.answers else None
        if fault == "hang up":
            self.close_connection = True
            return
        known = {"/v3/mail/send": self._sendgrid, "/emails": self._resend, "/email": self._postmark}
        if self.path not in known:
            self._say(404, {"message": "no such path"})
            return
        known[self.path](body, fault)

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def _say(self, status: int, body: Any, **headers: str) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _sendgrid(self, body: dict[str, Any], fault: Any) -> None:
        def wrong(status: int, message: str, field: str | None = None, **headers: str) -> None:
            self._say(status, {"errors": [{"message": message, "field": field, "help": None}]}, **headers)

        if self.headers["Authorization"] != f"Bearer {KEY}":
            return wrong(401, "The provided authorization grant is invalid, expired, or revoked")
        if isinstance(fault, int):
            return wrong(fault, "fault", **({"Retry_After": "1"} if fault == 429 else {}))
        people = body.get("personalizations") or [{}]
        if not people[0].get("to"):
            return wrong(400, "The to array is required", "personalizations.0.to")
        if not (body.get("content") and all(part.get("value") for part in body["content"])):
            return wrong(400, "The content value must be a string at least one character in length.", "content.0.value")
        if [part["type"] for part in body["content"]] not in (
            ["text/plain"],
            ["text/html"],
            ["text/plain", "text/html"],
        ):
            return wrong(400, "text/plain must come first", "content")
        if "@" not in body.get("from", {}).get("email", ""):
            return wrong(400, "The from email is required", "from.email")
        addresses = [each["email"] for group in ("to", "cc", "bcc") for each in people[0].get(group, [])]
        if len({*addresses}) < len(addresses):
            return wrong(400, "Each email address in the personalization block should be unique", "personalizations")
        return self._accept("sendgrid", body, fault, 202, None, X_Message_Id=uuid.uuid4().hex)

    def _resend(self, body: dict[str, Any], fault: Any) -> None:
        def wrong(status: int, name: str, **headers: str) -> None:
            self._say(status, {"statusCode": status, "name": name, "message": name}, **headers)

        if self.headers["Authorization"] != f"Bearer {KEY}":
            return wrong(403, "invalid_api_key")
        if fault == 429:
            return wrong(429, "rate_limit_exceeded", Retry_After="1")
        if isinstance(fault, int):
            return wrong(fault, "application_error")
        if not body.get("to") or not body.get("from"):
            return wrong(422, "missing_required_field")
        key, text = self.headers.get("Idempotency-Key"), json.dumps(body, sort_keys=True)
        if key in self.apis.keys:
            before, id = self.apis.keys[key]
            return self._say(200, {"id": id}) if before == text else wrong(409, "invalid_idempotent_request")
        id = str(uuid.uuid4())
        if key is not None:
            self.apis.keys[key] = (text, id)
        return self._accept("resend", body, fault, 200, {"id": id})

    def _postmark(self, body: dict[str, Any], fault: Any) -> None:
        def wrong(status: int, code: int, message: str, **headers: str) -> None:
            self._say(status, {"ErrorCode": code, "Message": message}, **headers)

        if self.headers["X-Postmark-Server-Token"] != KEY:
            return wrong(401, 10, "Bad or missing Server API token.")
        if isinstance(fault, int):
            return wrong(fault, 100, "Maintenance", **({"Retry_After": "1"} if fault == 429 else {}))
        if not body.get("To") or not (body.get("TextBody") or body.get("HtmlBody")):
            return wrong(422, 300, "Provide either email TextBody or HtmlBody or both.")
        if body["To"] == "inactive@b.org":
            return wrong(422, 406, "You tried to send to recipient(s) that have been marked as inactive.")
        told = {
            "To": body["To"],
            "SubmittedAt": "2026-01-01T00:00:00Z",
            "MessageID": str(uuid.uuid4()),
            "ErrorCode": 0,
            "Message": "OK",
        }
        return self._accept("postmark", body, fault, 200, told)

    def _accept(self, name: str, body: dict[str, Any], fault: Any, status: int, told: Any, **headers: str) -> None:
        self.apis.accepted[name].append(body)
        if fault == "cut":
            self.close_connection = True
            return
        self._say(status, told, **headers)
