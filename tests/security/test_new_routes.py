"""Webhooks, alerts, audit, error groups, replays: who reaches them, how large a body may be, what is noted, what is said once."""

import asyncio
import base64
import re
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.api_http.kit import enqueue, opened, problem
from tests.store.kit import Place
from windlass.api.asgi import RESOURCES
from windlass.api.permissions import SHARED
from windlass.errors import InvalidOption
from windlass.values.query import AuditQuery
from windlass.webhooks import signing

API = "/api/v1"
HOOK = {"url": "https://shop.example/hooks"}
PRIVATE = ("webhooks", "alerts", "audit", "error_groups", "dead_letters", "keys", "insight")


@pytest.mark.parametrize("role", ["user", "viewer", "operator", "admin"])
async def test_tenants_never_reach_what_all_share(memory: Place, role: str) -> None:
    """With a project, no role does: not by a real id either, and nothing that it cannot do tells whether the id is real."""
    async with opened(memory, rate="off") as door:
        admin = await door.as_("admin")
        hook = (await admin.post(f"{API}/webhooks", json=HOOK)).json()
        client = await door.as_(role, project="p")
        seen = 0
        for operation in (o for routes in RESOURCES for o in routes if o.permission in SHARED):
            answers = []
            for id in (hook["id"], "nothing"):
                path = API + re.sub(r"{.*?}", id, operation.path)
                body = None if operation.method == "GET" else {}
                answer = await client.request(operation.method, path, **({} if body is None else {"json": body}))
                problem(answer, 403, "forbidden")
                answers.append({k: v for k, v in answer.json().items() if k not in ("request_id", "instance")})
            assert answers[0] == answers[1]
            seen += 1
        assert seen > 40


async def test_tenants_do_not_see_the_jobs_that_tell(memory: Place) -> None:
    """Deliveries are jobs: of nobody's project, whoever's job they are about."""
    async with opened(memory) as door:
        await door.app.webhooks.add("https://shop.invalid/hooks", events="job.completed")
        mine = await door.as_("user", project="p")
        await enqueue(mine)
        await door.app.drain()
        told = [job.id for job in (await door.app.jobs.list(queue="windlass")).items]
        assert told, "there is a delivery"
        for role in ("user", "operator", "admin"):
            client = await door.as_(role, project="p")
            assert told[0] not in (await client.get(f"{API}/jobs")).text
            for suffix in ("", "/result", "/log", "/history", "/explain", "/progress"):
                problem(await client.get(f"{API}/jobs/{told[0]}{suffix}"), 404, "job-not-found")
            for act in ("cancel", "retry"):
                problem(await client.post(f"{API}/jobs/{told[0]}/{act}", json={}), 404, "job-not-found")


async def test_nobody_makes_the_jobs_that_tell(memory: Place) -> None:
    """Else whoever may make jobs could sign messages and raise alarms."""
    async with opened(memory) as door:
        hook = await door.app.webhooks.add("https://shop.example/hooks")
        own = (door.app.webhooks.handlers.deliver, door.app.alerts.handlers.tell)
        assert {handler.kind for handler in own} == {"windlass.webhook", "windlass.tell"}
        for role in ("user", "operator", "admin"):
            client = await door.as_(role)
            for kind in ("windlass.webhook", "windlass.webhook-sweep", "windlass.tell", "windlass.watch"):
                spec = {"kind": kind, "args": {"endpoint": hook.id, "message": "{}"}}
                problem(await client.post(f"{API}/jobs", json=spec), 422, "unknown-kind")
                problem(
                    await client.post(f"{API}/workflows", json={"jobs": [{"ref": "a", **spec}]}), 422, "unknown-kind"
                )
                problem(await client.post(f"{API}/batches", json={"jobs": [spec]}), 422, "unknown-kind")
                assert kind not in (await client.get(f"{API}/kinds")).text
        operator = await door.as_("operator")
        made = await operator.put(f"{API}/schedules/x", json={"job": {"kind": "windlass.tell"}, "every": "1h"})
        problem(made, 422, "unknown-kind")


async def test_the_queue_of_the_house_is_not_filled_by_others(memory: Place) -> None:
    async with opened(memory) as door:
        for role in ("user", "admin"):
            client = await door.as_(role)
            spec = {"kind": "add", "args": {"a": 1}, "queue": "windlass"}
            problem(await client.post(f"{API}/jobs", json=spec), 422, "invalid-body")
            problem(await client.post(f"{API}/batches", json={"jobs": [spec]}), 422, "invalid-body")
            id = await enqueue(client)
            problem(await client.post(f"{API}/jobs/{id}/clone", json={"queue": "windlass"}), 422, "invalid-body")


async def test_endpoints_are_bounded(memory: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("windlass.webhooks.endpoint.MOST_ENDPOINTS", 2)
    async with opened(memory) as door:
        client = await door.as_("admin")
        made = [await client.post(f"{API}/webhooks", json=HOOK) for _ in range(3)]
        assert [answer.status_code for answer in made] == [201, 201, 422]


async def test_bodies_have_an_end(memory: Place) -> None:
    async with opened(memory, rate="off", body_limit=20_000, batch_limit=40_000) as door:
        client = await door.as_("admin")
        for operation in (o for routes in RESOURCES for o in routes if o.method != "GET"):
            path = API + re.sub(r"{.*?}", "x", operation.path)
            text = b'{"x": "' + b"x" * 50_000 + b'"}'
            answer = await client.request(
                operation.method, path, content=text, headers={"Content-Type": "application/json"}
            )
            problem(answer, 413, "body-too-large")


async def test_lists_in_bodies_have_an_end(memory: Place) -> None:
    async with opened(memory) as door:
        client = await door.as_("admin")
        hook = (await client.post(f"{API}/webhooks", json=HOOK)).json()["id"]
        for method, path, body in (
            ("POST", "/webhooks", {**HOOK, "events": ["job.*"] * 51}),
            ("POST", "/webhooks", {**HOOK, "queues": ["x" * 201]}),
            ("POST", "/webhooks", {**HOOK, "description": "x" * 501}),
            ("POST", "/webhooks", {**HOOK, "secret": "whsec_short"}),
            ("POST", "/webhooks", {**HOOK, "secret": "whsec_" + base64.b64encode(b"x" * 65).decode()}),
            ("POST", f"/webhooks/{hook}/replay", {"ids": ["x"] * 1_001}),
            ("PUT", "/alerts/channels/c", {"way": "email", "to": ["a@example.com"] * 51}),
            ("PUT", "/alerts/channels/c", {"way": "email", "to": ["a@example.com\r\nBcc: b@example.com"]}),
            ("PUT", "/alerts/channels/c", {"way": "email", "to": ["a@example.com,b@example.com"]}),
            ("PUT", "/alerts/channels/c", {"way": "email", "to": ["Ann <a@example.com>"]}),
            ("PUT", "/alerts/rules/r", {"watch": "queue-size", "channels": ["log"] * 21}),
            ("PUT", "/alerts/rules/r", {"watch": "queue-size", "channels": ["log"], "threshold": -1}),
            ("PUT", "/alerts/rules/a%0d%0ab", {"watch": "queue-size", "channels": ["log"]}),
        ):
            answer = await client.request(method, API + path, json=body)
            assert answer.status_code in (404, 422), (path, body, answer.text)


async def test_every_change_is_noted(memory: Place) -> None:
    """By whom; and no secret with it."""
    async with opened(memory) as door:
        client = await door.as_("operator", "olga")
        hook = (await client.post(f"{API}/webhooks", json=HOOK)).json()
        id = hook["id"]
        channel = {"way": "webhook", "url": "https://chat.example/T0/canary-url"}
        await client.patch(f"{API}/webhooks/{id}", json={"active": False})
        fresh = (await client.post(f"{API}/webhooks/{id}/rotate")).json()
        made = (await client.put(f"{API}/alerts/channels/chat", json=channel)).json()
        await client.put(f"{API}/alerts/rules/r", json={"watch": "queue-size", "channels": ["chat"]})
        await client.delete(f"{API}/alerts/rules/r")
        await client.delete(f"{API}/alerts/channels/chat")
        await client.delete(f"{API}/webhooks/{id}")
        acts = await (await door.app.store()).audit(AuditQuery(limit=100))
        assert {act.actor for act in acts} == {"user:olga"}
        assert [act.action for act in reversed(acts)] == [
            "add-webhook", "edit-webhook", "rotate-webhook", "put-alert-channel", "put-alert-rule", "remove-alert-rule",
            "remove-alert-channel", "remove-webhook",
        ]  # fmt: skip
        for secret in (hook["secret"], fresh["secret"], made["secret"], "canary-url"):
            assert secret not in repr(acts)


async def test_secrets_are_said_once(memory: Place) -> None:
    """Nor is an answer that says one kept under an idempotency key."""
    async with opened(memory) as door:
        client = await door.as_("admin")
        again = {"Idempotency-Key": "once"}
        hook = (await client.post(f"{API}/webhooks", json=HOOK, headers=again)).json()
        fresh = (await client.post(f"{API}/webhooks/{hook['id']}/rotate", headers=again)).json()
        body = {"way": "slack", "url": "https://chat.example/services/canary-url"}
        await client.put(f"{API}/alerts/channels/chat", json=body)
        signed = (await client.put(f"{API}/alerts/channels/sign", json={**body, "way": "webhook"})).json()
        secrets = [hook["secret"], fresh["secret"], signed["secret"], "canary-url"]
        paths = [o.path for routes in RESOURCES for o in routes if o.method == "GET" and not o.params and not o.streams]
        for path in [*paths, f"/webhooks/{hook['id']}", f"/webhooks/{hook['id']}/deliveries"]:
            text = (await client.get(API + path)).text
            assert not [secret for secret in secrets if secret in text], path
        kept = await (await door.app.store()).records("api-idempotency")
        assert not [secret for secret in secrets if secret in repr(kept)]


async def test_a_repeated_ping_or_replay_is_one(memory: Place) -> None:
    async with opened(memory) as door:
        client = await door.as_("admin")
        id = (await client.post(f"{API}/webhooks", json=HOOK)).json()["id"]
        told = [
            (await client.post(f"{API}/webhooks/{id}/ping", headers={"Idempotency-Key": "p"})).json() for _ in range(3)
        ]
        assert told[0] == told[1] == told[2]
        assert len((await client.get(f"{API}/webhooks/{id}/deliveries")).json()["items"]) == 1


async def test_ids_of_other_things_are_none(memory: Place) -> None:
    """An id is looked up by what it is, so no record of another space can be had by it."""
    async with opened(memory) as door:
        client = await door.as_("admin")
        for id in ("we_", "we_../../x", "we_%00", "we_*", "chat", "we_0000000000000000", "x" * 500):
            for method, suffix in (("GET", ""), ("DELETE", ""), ("POST", "/rotate"), ("POST", "/ping")):
                answer = await client.request(method, f"{API}/webhooks/{id}{suffix}")
                assert answer.status_code == 404, (id, suffix, answer.text)


# signatures


def verify(secret: str, headers: dict[str, str], body: bytes) -> Any:
    return Webhook(secret).verify(body, headers)


def test_signatures_hold_against_changes() -> None:
    """The reference verifier: whatever is changed, swapped, encoded anew, or too old or far ahead is refused."""
    import time

    secret, other = signing.new_secret(), signing.new_secret()
    body, now = b'{"id":"1","type":"ping","data":{"a": 1}}', int(time.time())
    good = signing.headers([secret], "msg_1", now, body)
    assert verify(secret, good, body)["type"] == "ping"
    assert verify(secret, signing.headers([other, secret], "msg_1", now, body), body)
    for headers, text in (
        (good, body.replace(b"1", b"2")),
        (good, b'{"id":"1","type":"ping","data":{"a":1}}'),
        ({**good, "webhook-id": "msg_2"}, body),
        ({**good, "webhook-timestamp": str(now + 1)}, body),
        ({**good, "webhook-signature": ""}, body),
        ({**good, "webhook-signature": good["webhook-signature"].replace("v1,", "v0,")}, body),
        (signing.headers([other], "msg_1", now, body), body),
        (signing.headers([secret], "msg_1", now - 360, body), body),
        (signing.headers([secret], "msg_1", now + 360, body), body),
        (signing.headers([secret], "msg_1", 0, body), body),
    ):
        with pytest.raises(Exception, match=r"[Ss]ignature|[Tt]imestamp|too|header"):
            verify(secret, headers, text)


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_!!!!", "whsec_AAAA", None, 3, "x" * 300, "whsec_" + "A" * 31])
def test_weak_secrets_are_refused_and_not_shown(text: Any) -> None:
    with pytest.raises(InvalidOption) as refused:
        signing.check_secret(text)
    assert not text or str(text) not in str(refused.value) or text == "whsec_"


async def test_two_at_once_rotate_without_losing_a_secret(memory: Place) -> None:
    async with opened(memory) as door:
        made = await door.app.webhooks.add("https://shop.example/hooks")
        found = await asyncio.gather(*(door.app.webhooks.rotate(made.id) for _ in range(5)))
        kept = await door.app.webhooks.get(made.id)
        assert kept.secret in {each.secret for each in found}
        assert kept.retired_secret in {made.secret, *(each.secret for each in found)} - {kept.secret}
