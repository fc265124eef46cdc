"""The dashboard's files over HTTP: one page for every address below the mount, and assets that browsers keep for ever."""

import html
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

STATIC = Path(__file__).parent / "static"
MOUNT = "/jobs"
BUILD = "make dashboard"

POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "worker-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""No inline code, nothing from elsewhere: the page works without a network, and injected text stays text."""

_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
    ".json": "application/json",
}
_FOREVER = "public, max-age=31536000, immutable"
"""Assets have the hash of their content in their names."""


class File(msgspec.Struct, frozen=True):
    """A built file; `packed` is the same in gzip, as the build made it."""

    body: bytes
    packed: bytes | None
    media_type: str


class Dashboard:
    """Answers for everything below `MOUNT`. `api`: where the REST API is; `events`: whether it has a stream of events."""

    def __init__(self, api: str, *, events: bool, static: Path = STATIC) -> None:
        self._api = api
        self._live = "events" if events else "none"
        self._static = static

    async def __call__(self, request: Request) -> Response:
        """An asset by its name, else the page: addresses of the client's own are not known here."""
        path = request.path_params.get("path", "")
        files = _load(self._static)
        if path.startswith("assets/"):
            found = files.get(path)
            if found is None:
                return Response("no such file", 404, media_type="text/plain")
            return _send(request, found, {"Cache-Control": _FOREVER})
        index = files.get("index.html")
        if index is None:
            return _page(_UNBUILT, 503)
        root = root_of(request)
        return _page(_render(index.body.decode(), root, {"api": root + self._api, "live": self._live}))


def root_of(request: Request) -> str:
    """Where the API is mounted. Behind two slashes browsers read a host: a mount with a variable in its path could be called
    so that the page loads, or is sent to, somebody else's."""
    root: str = request.scope.get("root_path", "")
    return "/" + root.lstrip("/\\") if root else ""


@cache
def _load(static: Path) -> Mapping[str, File]:
    """Every built file; a few hundred kilobytes, read once."""
    files: dict[str, File] = {}
    for path in sorted(static.rglob("*")) if (static / "index.html").is_file() else ():
        media_type = _TYPES.get(path.suffix, "text/html; charset=utf-8" if path.suffix == ".html" else "")
        if path.is_file() and media_type:
            packed = path.with_name(path.name + ".gz")
            body = packed.read_bytes() if packed.is_file() else None
            files[path.relative_to(static).as_posix()] = File(path.read_bytes(), body, media_type)
    return files


def _render(index: str, root: str, told: dict[str, Any]) -> str:
    """The page, told where it is mounted. The base lets relative addresses of assets work from any depth."""
    base = root + MOUNT
    config = msgspec.json.encode({"base": base, "version": _version(), **told}).decode().replace("<", "\\u003c")
    head = (
        f'<base href="{html.escape(base, quote=True)}/">\n'
        f'    <script type="application/json" id="windlass">{config}</script>'
    )
    return index.replace("<!-- windlass -->", head, 1)


def _send(request: Request, file: File, headers: dict[str, str]) -> Response:
    headers["Vary"] = "Accept-Encoding"
    if file.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(file.packed, 200, headers, file.media_type)
    return Response(file.body, 200, headers, file.media_type)


def _page(text: str, status: int = 200) -> Response:
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
    return Response(text, status, headers, "text/html; charset=utf-8")


def _version() -> str:
    try:
        return version("windlass")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "dev"


_UNBUILT = f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Windlass: the dashboard is not built</title></head>
<body>
<h1>The dashboard is not built</h1>
<p>This is a source tree; installed packages bring the built dashboard with them. With Node 20.19 or newer, build it by</p>
<pre>{BUILD}</pre>
<p>and start the server again. The REST API and the command line work without it.</p>
</body>
</html>
"""
