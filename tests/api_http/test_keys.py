"""API keys: made, shown once, bound, expired, revoked."""

from tests.api_http.kit import enqueue, opened, problem
from tests.store.kit import Place
from tests.waiting import until
from windlass.api import keys as api_keys

KEYS, SELF = "/api/v1/keys", "/api/v1/self"


async def test_a_key_opens_what_it_is_for(place: Place) -> None:
    async with opened(place) as door:
        admin = await door.as_("admin")
        made = await admin.post(KEYS, json={"name": "shop", "role": "user", "user": "shop", "project": "blue"})
        assert made.status_code == 201
        key = made.json()
        assert key["key"].startswith(key["prefix"] + "_")
        client = await door.client(key["key"])
        found = (await client.get(SELF)).json()
        assert (found["user"], found["role"], found["project"], found["key"]) == ("shop", "user", "blue", key["id"])
        job = (await client.get(f"/api/v1/jobs/{await enqueue(client)}")).json()
        assert (job["user"], job["project"]) == ("shop", "blue")
        (listed,) = (await admin.get(KEYS)).json()["items"]
        assert "key" not in listed and "hash" not in listed and listed["live"]


async def test_what_is_not_the_key_opens_nothing(memory: Place) -> None:
    async with opened(memory, failures="1000/s") as door:
        admin = await door.as_("admin")
        key = (await admin.post(KEYS, json={"name": "k"})).json()["key"]
        mark, id, secret = key.split("_", 2)
        for text in (
            key[:-1], key + "x", f"{mark}_{id}_", f"{mark}_{id}", f"{mark}_{'0' * 12}_{secret}", f"{mark}__{secret}", "wl_",
            key.upper(), f"{mark}_{id}_{secret[::-1]}", f"{mark}_*_{secret}", f"{mark}_{id}\x00_{secret}".replace("\x00", "%00"),
        ):  # fmt: skip
            problem(await (await door.client(text)).get(SELF), 401, "invalid-credentials")


async def test_scopes(memory: Place) -> None:
    async with opened(memory) as door:
        admin = await door.as_("admin")
        body = {"name": "reader", "role": "admin", "scopes": ["jobs:read", "keys:change"]}
        reader = await door.client((await admin.post(KEYS, json=body)).json()["key"])
        assert (await reader.get("/api/v1/jobs")).status_code == 200
        problem(await reader.post("/api/v1/jobs", json={"kind": "add"}), 403, "forbidden")
        problem(await reader.get("/api/v1/queues"), 403, "forbidden")
        for wider in (None, ["jobs:create"], ["jobs:read", "audit:read"]):
            answer = await reader.post(KEYS, json={"name": "wider", "role": "admin", "scopes": wider})
            problem(answer, 403, "forbidden")
        assert (await reader.post(KEYS, json={"name": "same", "scopes": ["jobs:read"]})).status_code == 201
        problem(await admin.post(KEYS, json={"name": "x", "scopes": ["everything"]}), 422, "invalid-body")


async def test_a_revoked_key_opens_nothing_any_more(place: Place, monkeypatch: object) -> None:
    async with opened(place) as door:
        admin = await door.as_("admin")
        key = (await admin.post(KEYS, json={"name": "k"})).json()
        client = await door.client(key["key"])
        assert (await client.get(SELF)).status_code == 200
        revoked = (await admin.delete(f"{KEYS}/{key['id']}")).json()
        assert (revoked["live"], revoked["revoked_by"]) == (False, "user:ann")
        problem(await client.get(SELF), 401, "invalid-credentials")
        assert (await admin.delete(f"{KEYS}/{key['id']}")).json()["revoked_at"] == revoked["revoked_at"]
        problem(await admin.delete(f"{KEYS}/nothing"), 404, "key-not-found")


async def test_other_processes_notice_a_revocation(memory: Place, monkeypatch: object) -> None:
    async with opened(memory) as door:
        admin = await door.as_("admin")
        key = (await admin.post(KEYS, json={"name": "k"})).json()
        elsewhere = api_keys.ApiKeys(door.app.store)
        assert await elsewhere.caller(key["key"]) is not None
        await admin.delete(f"{KEYS}/{key['id']}")
        here, at = elsewhere._known[key["id"]]
        elsewhere._known[key["id"]] = (here, at - 2 * api_keys._FRESH)  # as if the time had passed
        assert await elsewhere.caller(key["key"]) is None


async def test_an_expired_key_opens_nothing(memory: Place) -> None:
    async with opened(memory) as door:
        admin = await door.as_("admin")
        key = (await admin.post(KEYS, json={"name": "k", "expires": "300ms"})).json()
        client = await door.client(key["key"])

        async def closed() -> bool:
            return (await client.get(SELF)).status_code == 401

        await until(closed, "the key to expire")
        assert not (await admin.get(KEYS)).json()["items"][0]["live"]
