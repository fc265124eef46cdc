"""A browser's session: opened by a credential, carried by a cookie, changing nothing without its token, ended in every way."""

import asyncio
from typing import Any

import pytest

from tests.api_http.kit import enqueue, opened, problem, token
from tests.store.kit import Place
from windlass.api.session import COOKIE, CSRF, SPACE

PATH = "/api/v1/session"


async def _sign_in(client: Any, credential: str) -> dict[str, Any]:
    answer = await client.post(PATH, json={"credential": credential})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _admin_key(door: Any, **options: Any) -> dict[str, Any]:
    admin = await door.as_("admin")
    answer = await admin.post("/api/v1/keys", json={"name": "browser", "role": "operator", **options})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_key_opens_a_session(place: Place) -> None:
    async with opened(place) as door:
        key = await _admin_key(door)
        browser = await door.client()
        assert (await browser.get(PATH)).json()["signed_in"] is False
        stands = await _sign_in(browser, key["key"])
        assert stands["by"] == "session"
        assert stands["me"]["role"] == "operator"
        assert "queues:change" in stands["me"]["permissions"]
        assert (await browser.get(PATH)).json() == stands
        assert (await browser.get("/api/v1/self")).json()["key"] == key["id"]


async def test_the_cookie_is_out_of_reach(memory: Place) -> None:
    async with opened(memory) as door:
        browser = await door.client()
        answer = await browser.post(PATH, json={"credential": token(role="viewer")})
        (cookie,) = answer.headers.get_list("set-cookie")
        attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert {"httponly", "samesite=strict", "path=/"} <= attributes
        assert "secure" not in attributes  # this request came by http
        lasts = next(int(part.split("=")[1]) for part in attributes if part.startswith("max-age"))
        assert lasts <= 600, "no longer than the token"
        records = await (await door.app.store()).records(SPACE)
        assert records and browser.cookies[COOKIE] not in repr(records), "the store holds hashes only"


async def test_changes_take_the_token_of_the_session(memory: Place) -> None:
    async with opened(memory) as door:
        browser = await door.client()
        csrf = (await _sign_in(browser, token(role="operator")))["csrf"]
        job = {"kind": "add", "args": {"a": 1}}
        problem(await browser.post("/api/v1/jobs", json=job), 403, "csrf")
        problem(await browser.post("/api/v1/jobs", json=job, headers={CSRF: "wrong"}), 403, "csrf")
        elsewhere = {CSRF: csrf, "Sec-Fetch-Site": "cross-site"}
        problem(await browser.post("/api/v1/jobs", json=job, headers=elsewhere), 403, "cross-site")
        assert (await browser.post("/api/v1/jobs", json=job, headers={CSRF: csrf})).status_code == 202


async def test_signing_in_is_for_our_own_pages(memory: Place) -> None:
    async with opened(memory) as door:
        browser = await door.client()
        asked = {"credential": token()}
        problem(await browser.post(PATH, json=asked, headers={"Sec-Fetch-Site": "cross-site"}), 403, "cross-site")
        problem(await browser.post(PATH, json=asked, headers={"Origin": "http://evil.test"}), 403, "cross-site")
        problem(await browser.post(PATH, json={"credential": "wl_nothing"}), 401, "invalid-credentials")
        problem(await browser.post(PATH, json={"credential": 3}), 422, "invalid-body")
        problem(await browser.post(PATH, content=b"{"), 400, "malformed-body")
        assert COOKIE not in browser.cookies


async def test_guessing_is_held_back(memory: Place) -> None:
    async with opened(memory, failures="3/h") as door:
        browser = await door.client()
        for _ in range(3):
            problem(await browser.post(PATH, json={"credential": "wl_wrong"}), 401, "invalid-credentials")
        assert (await browser.post(PATH, json={"credential": "wl_wrong"})).status_code == 429
        assert (await _sign_in(browser, token()))["signed_in"]


async def test_signing_out_ends_it(memory: Place) -> None:
    async with opened(memory) as door:
        browser = await door.client()
        csrf = (await _sign_in(browser, token()))["csrf"]
        secret = browser.cookies[COOKIE]
        problem(await browser.delete(PATH), 403, "csrf")
        assert (await browser.delete(PATH, headers={CSRF: csrf})).json()["signed_in"] is False
        thief = await door.client(Cookie=f"{COOKIE}={secret}")
        problem(await thief.get("/api/v1/jobs"), 401, "unauthenticated")


async def test_a_revoked_key_ends_its_sessions(memory: Place) -> None:
    async with opened(memory) as door:
        key = await _admin_key(door)
        browser = await door.client()
        await _sign_in(browser, key["key"])
        await (await door.as_("admin")).delete(f"/api/v1/keys/{key['id']}")
        assert (await browser.get(PATH)).json()["signed_in"] is False
        problem(await browser.get("/api/v1/jobs"), 401, "unauthenticated")


async def test_a_session_ends_with_its_token(memory: Place) -> None:
    async with opened(memory, jwt_leeway=0) as door:
        import time

        browser = await door.client()
        await _sign_in(browser, token(exp=int(time.time()) + 2))
        end = time.monotonic() + 20
        while (await browser.get(PATH)).json()["signed_in"]:
            assert time.monotonic() < end, "the session outlives its token"
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("role", ["viewer", "user", "operator", "admin"])
async def test_a_session_may_what_its_role_may(memory: Place, role: str) -> None:
    async with opened(memory) as door:
        browser = await door.client()
        stands = await _sign_in(browser, token(role=role))
        asked = await (await door.as_(role)).get("/api/v1/self")
        assert stands["me"]["permissions"] == asked.json()["permissions"]
        answer = await browser.get("/api/v1/audit")
        assert (answer.status_code == 200) == ("audit:read" in stands["me"]["permissions"])


async def test_read_only_closes_every_change(memory: Place) -> None:
    async with opened(memory, read_only=True) as door:
        admin = await door.as_("admin")
        mine = (await admin.get("/api/v1/self")).json()["permissions"]
        assert all(each.endswith(":read") or each == "self" for each in mine)
        problem(await admin.post("/api/v1/jobs", json={"kind": "add", "args": {"a": 1}}), 403, "read-only")
        problem(await admin.put("/api/v1/queues/mail/pause"), 403, "read-only")
        assert (await admin.get("/api/v1/jobs")).status_code == 200
        browser = await door.client()
        assert (await _sign_in(browser, token(role="admin")))["read_only"] is True


async def test_credentials_in_headers_need_no_token(memory: Place) -> None:
    async with opened(memory) as door:
        assert await enqueue(await door.as_("user"))
