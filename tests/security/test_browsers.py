"""What other sites make a browser do, what a stolen cookie opens, and what a page may be made to show or load."""

import json
import re
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.api_http.kit import Door, enqueue, opened, problem, token
from tests.dashboard.test_serving import built, client_of, config_of
from tests.store.kit import Place
from windlass.api.asgi import RESOURCES
from windlass.api.session import COOKIE, CSRF
from windlass.dashboard.serving import MOUNT

API = "/api/v1"
SESSION = f"{API}/session"
FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "SAME-ORIGIN "},
    {"Origin": "null"}, {"Origin": "https://api.test.evil.test"}, {"Origin": "http://evil.api.test"},
    {"Origin": "http://api.test:8080"}, {"Origin": "http://evil.test/http://api.test"}, {"Origin": ""},
]  # fmt: skip
CHANGES = [o for routes in RESOURCES for o in routes if o.method != "GET"]


async def signed_in(door: Door, role: str = "admin") -> tuple[httpx.AsyncClient, str]:
    browser = await door.client()
    answer = await browser.post(SESSION, json={"credential": token(role=role)})
    return browser, answer.json()["csrf"]


def _addressed(path: str) -> str:
    return API + re.sub(r"{.*?}", "x", path)


async def test_no_change_from_another_site(memory: Place) -> None:
    """Every changing route, of whatever resource: without its session's token, and with it from elsewhere."""
    async with opened(memory, rate="off") as door:
        browser, csrf = await signed_in(door)
        for operation in CHANGES:
            url = _addressed(operation.path)
            problem(await browser.request(operation.method, url, json={}), 403, "csrf")
            elsewhere = {CSRF: csrf, "Sec-Fetch-Site": "cross-site"}
            problem(await browser.request(operation.method, url, json={}, headers=elsewhere), 403, "cross-site")


@pytest.mark.parametrize("headers", FOREIGN)
async def test_foreign_origins(memory: Place, headers: dict[str, str]) -> None:
    async with opened(memory) as door:
        browser, csrf = await signed_in(door)
        body = {"kind": "add", "args": {"a": 1}}
        problem(await browser.post(f"{API}/jobs", json=body, headers={CSRF: csrf, **headers}), 403, "cross-site")
        problem(await browser.post(SESSION, json={"credential": token()}, headers=headers), 403, "cross-site")
        problem(await browser.delete(SESSION, headers={CSRF: csrf, **headers}), 403, "cross-site")


async def test_forms_cannot_speak_it(memory: Place) -> None:
    """What a form can send is no JSON; and no header or field makes one method another."""
    async with opened(memory) as door:
        browser, csrf = await signed_in(door)
        text = json.dumps({"kind": "add", "args": {"a": 1}})
        for media in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            sent = {CSRF: csrf, "Content-Type": media}
            answer = await browser.post(f"{API}/jobs", content=text, headers=sent)
            problem(answer, 415, "unsupported-media-type")
        id = await enqueue(await door.as_("admin"))
        for headers in (
            {"X-HTTP-Method-Override": "DELETE"},
            {"X-HTTP-Method": "DELETE"},
            {"X-Method-Override": "DELETE"},
        ):
            assert (await browser.get(f"{API}/jobs/{id}", headers=headers)).json()["state"] == "waiting"
        assert (await browser.get(f"{API}/jobs/{id}", params={"_method": "DELETE"})).status_code == 422


async def test_a_token_of_another_session_is_none(memory: Place) -> None:
    async with opened(memory) as door:
        (browser, _), (_, theirs) = await signed_in(door), await signed_in(door)
        body = {"kind": "add", "args": {"a": 1}}
        for wrong in (theirs, "", "0" * 64, "\u00e9"):
            sent = {CSRF: wrong.encode("latin-1")}
            problem(await browser.post(f"{API}/jobs", json=body, headers=sent), 403, "csrf")


async def test_a_session_is_never_one_that_was_brought(memory: Place) -> None:
    """Fixation: a cookie planted before signing in is not the one that is signed in."""
    async with opened(memory) as door:
        planted = "attackers-own-secret-0123456789"
        victim = await door.client(Cookie=f"{COOKIE}={planted}")
        answer = await victim.post(SESSION, json={"credential": token(role="admin")})
        assert planted not in answer.headers["set-cookie"]
        thief = await door.client(Cookie=f"{COOKIE}={planted}")
        problem(await thief.get(f"{API}/jobs"), 401, "unauthenticated")


async def test_cookies_of_https_stay_there(memory: Place) -> None:
    async with opened(memory) as door:
        transport = httpx.ASGITransport(door.asgi, client=("192.0.2.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="https://api.test") as browser:
            answer = await browser.post(SESSION, json={"credential": token()})
            (cookie,) = answer.headers.get_list("set-cookie")
            assert {"secure", "httponly", "samesite=strict"} <= {part.strip().lower() for part in cookie.split(";")}
            assert "domain" not in cookie.lower()
            assert "max-age" in answer.headers["strict-transport-security"]


async def test_a_stolen_cookie_ends_with_the_key(memory: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("windlass.api.keys._FRESH", 0.0)
    async with opened(memory) as door:
        admin = await door.as_("admin")
        key = (await admin.post(f"{API}/keys", json={"name": "k", "role": "operator"})).json()
        browser = await door.client()
        await browser.post(SESSION, json={"credential": key["key"]})
        thief = await door.client(peer="198.51.100.7", Cookie=f"{COOKIE}={browser.cookies[COOKIE]}")
        assert (await thief.get(f"{API}/jobs")).status_code == 200
        await admin.delete(f"{API}/keys/{key['id']}")
        problem(await thief.get(f"{API}/jobs"), 401, "unauthenticated")


async def test_no_other_origin_may_read(memory: Place) -> None:
    async with opened(memory) as door:
        client = await door.as_("admin")
        for origin in ("https://evil.test", "null", "http://api.test.evil.test"):
            for method in ("GET", "OPTIONS"):
                sent = {"Origin": origin, "Access-Control-Request-Method": "POST"}
                answer = await client.request(method, f"{API}/jobs", headers=sent)
                assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_every_answer_forbids_frames_and_sniffing(memory: Place) -> None:
    async with opened(memory) as door:
        client = await door.as_("admin")
        for path in ("/", "/jobs", "/jobs/x/y", "/jobs/assets/none.js", "/docs", "/openapi.json", "/metrics", "/healthz",
                     f"{API}/jobs", f"{API}/none", SESSION, "/none"):  # fmt: skip
            headers = (await client.get(path)).headers
            assert headers["x-frame-options"] == "DENY", path
            assert "frame-ancestors 'none'" in headers["content-security-policy"], path
            assert "unsafe" not in headers["content-security-policy"] or path == "/docs", path
            assert headers["x-content-type-options"] == "nosniff", path
            assert headers["referrer-policy"] == "no-referrer", path


async def test_hosts_are_not_believed(memory: Place) -> None:
    """Neither redirects nor pages nor documents lead to where a request says it came by."""
    async with opened(memory) as door:
        client = await door.as_("admin")
        for headers in ({"Host": "evil.test"}, {"X-Forwarded-Host": "evil.test"}, {"X-Forwarded-Prefix": "//evil.test"},
                        {"X-Forwarded-Proto": "https", "X-Original-URL": "//evil.test"}):  # fmt: skip
            for path in ("/", "/jobs", "/openapi.json", "/docs", SESSION, "//evil.test/..", "/%5cevil.test"):
                answer = await client.get(path, headers=headers)
                assert "evil" not in answer.headers.get("location", ""), path
                assert answer.status_code == 404 or "evil" not in answer.text, path


@pytest.mark.parametrize(
    "path",
    [
        "assets/../index.html", "assets/..%2f..%2fserving.py", "assets/%2e%2e/%2e%2e/serving.py", "assets//etc/passwd",
        "assets/....//serving.py", "assets/%5c..%5cserving.py", "assets/index-abc.js%00.css", "assets/index-abc.js.gz",
    ],
)  # fmt: skip
async def test_files_are_those_of_the_build(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.py").write_text("the canary")
    async with client_of(built(tmp_path)) as client:
        answer = await client.get(f"{MOUNT}/{path}")
        assert "canary" not in answer.text and "packed" not in answer.text
        assert answer.status_code == 404 or '<base href="/jobs/">' in answer.text


@pytest.mark.parametrize(
    "root", ["//evil.test", "/\\evil.test", '/"><base href="//evil.test', "/</script><script>alert(1)"]
)
async def test_a_mount_leads_nowhere_else(tmp_path: Path, root: str) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Route

    from windlass.dashboard.serving import Dashboard

    dashboard = Dashboard(API, events=True, static=built(tmp_path))
    inner = Starlette(routes=[Route(MOUNT, dashboard.__call__)])

    async def below(scope: Any, receive: Any, send: Any) -> None:
        await inner({**scope, "root_path": root, "path": root + scope["path"]}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(below), base_url="http://dashboard.test") as client:
        text = (await client.get(MOUNT)).text
    (base,) = re.findall(r'<base href="(.*?)">', text)
    assert not base.startswith(("//", "/\\"))
    assert text.count("<script") == 1 and text.count("<base") == 1
    assert not config_of(text)["api"].startswith(("//", "/\\"))
