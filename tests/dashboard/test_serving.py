"""The page and its files: policy, caching, sizes, any mount, nothing from elsewhere, and what there is before a build."""

import json
import re
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from tests.api_http.kit import opened
from tests.store.places import place_for
from windlass.dashboard.serving import MOUNT, STATIC, Dashboard


def built(folder: Path) -> Path:
    """A client as a build leaves it."""
    (folder / "assets").mkdir()
    (folder / "index.html").write_text("<html><head><!-- windlass --></head></html>")
    (folder / "assets" / "index-abc.js").write_text("0")
    (folder / "assets" / "index-abc.js.gz").write_bytes(b"packed")
    return folder


def client_of(static: Path, root: str = "") -> httpx.AsyncClient:
    dashboard = Dashboard("/api/v1", events=True, static=static)
    routes = [Route(path, dashboard.__call__) for path in (MOUNT, f"{MOUNT}/{{path:path}}")]
    inner = Starlette(routes=routes)
    app = Starlette(routes=[Mount(root, inner)]) if root else inner
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://dashboard.test")


def config_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="windlass">(.*?)</script>', text)
    assert found is not None
    return json.loads(found[1])


async def test_every_address_is_the_page(tmp_path: Path) -> None:
    async with client_of(built(tmp_path)) as client:
        for path in ("/jobs", "/jobs/", "/jobs/queues/a%2Fb", "/jobs/jobs/x?tab=log"):
            answer = await client.get(path)
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "no-cache"
            policy = answer.headers["content-security-policy"]
            assert "script-src 'self';" in policy and "unsafe" not in policy
            assert '<base href="/jobs/">' in answer.text
            assert config_of(answer.text)["api"] == "/api/v1"


async def test_below_any_mount(tmp_path: Path) -> None:
    async with client_of(built(tmp_path), "/tools/queue") as client:
        text = (await client.get("/tools/queue/jobs/queues")).text
        assert '<base href="/tools/queue/jobs/">' in text
        assert config_of(text) == {
            "base": "/tools/queue/jobs", "api": "/tools/queue/api/v1", "live": "events", "version": config_of(text)["version"],
        }  # fmt: skip


async def test_a_mount_cannot_break_out(tmp_path: Path) -> None:
    dashboard = Dashboard("/api/v1", events=False, static=built(tmp_path))
    app = Starlette(routes=[Route(MOUNT, dashboard.__call__)])
    transport = httpx.ASGITransport(app, root_path='/"><script>alert(1)</script>')
    async with httpx.AsyncClient(transport=transport, base_url="http://dashboard.test") as client:
        text = (await client.get('/"><script>alert(1)</script>/jobs')).text
        assert "<script>alert" not in text


async def test_assets_are_kept_for_ever(tmp_path: Path) -> None:
    async with client_of(built(tmp_path)) as client:
        answer = await client.get("/jobs/assets/index-abc.js", headers={"Accept-Encoding": "identity"})
        assert answer.content == b"0"
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-type"].startswith("text/javascript")
        async with client.stream("GET", "/jobs/assets/index-abc.js", headers={"Accept-Encoding": "br, gzip"}) as packed:
            assert packed.headers["content-encoding"] == "gzip"
            assert packed.headers["vary"] == "Accept-Encoding"
        for path in ("nothing.js", "../index.html", "%2e%2e/index.html"):
            assert "windlass" not in (await client.get(f"/jobs/assets/{path}")).text or path != "nothing.js"
        assert (await client.get("/jobs/assets/nothing.js")).status_code == 404


async def test_before_a_build_it_says_how(tmp_path: Path) -> None:
    async with client_of(tmp_path / "nothing") as client:
        answer = await client.get("/jobs/queues")
        assert answer.status_code == 503
        assert "make dashboard" in answer.text


async def test_the_api_has_it_or_not() -> None:
    with place_for("sqlite-memory") as place:
        async with opened(place) as door:
            client = await door.client()
            assert (await client.get("/")).headers["location"] == "/jobs"
            assert (await client.get("/jobs")).headers["x-frame-options"] == "DENY"
        async with opened(place, dashboard="off") as door:
            assert (await (await door.client()).get("/jobs")).status_code == 404


def test_nothing_names_another_host() -> None:
    if not (STATIC / "index.html").is_file():
        pytest.skip("the dashboard is not built; build it by: make dashboard")
    for path in STATIC.rglob("*"):
        if path.suffix in (".js", ".css", ".html"):
            hosts = set(re.findall(r"https?://([\w.-]+)", path.read_text("utf-8")))
            assert hosts <= {"www.w3.org", "github.com"}, (path.name, hosts)  # names of XML, the text of an error
