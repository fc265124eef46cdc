"""Live events under attack: whose access ends, what others do, gaps, crowds, slow readers, and topics without end."""

import asyncio
import tracemalloc
from typing import Any

import pytest

from tests.api_http.kit import Door, enqueue, opened, problem
from tests.api_http.test_events import API, Stream, awake, end, follow
from tests.store.kit import Place
from tests.waiting import until
from windlass.api import news
from windlass.api.caller import Reach
from windlass.api.news import Newsroom, Wanted, _Listener, _Tick  # pyright: ignore[reportPrivateUsage]
from windlass.api.session import COOKIE, CSRF
from windlass.values.query import Happening

SESSION = f"{API}/session"


async def stream_of(door: Door, stream: Stream, **headers: str) -> Any:
    """A task that reads the stream with these headers."""
    client = await door.client(**headers)
    sent = [(name.encode().lower(), value.encode()) for name, value in client.headers.items()]
    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "path": f"{API}/events", "raw_path": f"{API}/events".encode(),
        "query_string": b"", "headers": [*sent, (b"host", b"api.test")], "http_version": "1.1", "scheme": "http",
        "server": ("api.test", 80), "client": ("192.0.2.9", 1), "root_path": "",
    }  # fmt: skip
    started = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200, message
        elif message.get("body"):
            stream.feed(message["body"].decode())
            started.set()

    task = asyncio.create_task(door.asgi(scope, receive, send))
    await started.wait()
    return task


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams look at once whether whoever listens still may."""
    monkeypatch.setattr(news, "RECHECK", 0.0)
    monkeypatch.setattr(news, "PING", 0.05)
    monkeypatch.setattr("windlass.api.keys._FRESH", 0.0, raising=False)
    monkeypatch.setattr("windlass.api.session._FRESH", 0.0)


async def test_a_revoked_key_ends_its_streams(memory: Place, hasty: None) -> None:
    async with opened(memory) as door:
        admin = await door.as_("admin")
        key = (await admin.post(f"{API}/keys", json={"name": "k", "role": "operator"})).json()
        task = await stream_of(door, Stream(), Authorization=f"Bearer {key['key']}")
        stays = await stream_of(door, Stream(), Authorization=admin.headers["authorization"])
        await admin.delete(f"{API}/keys/{key['id']}")
        await asyncio.wait_for(task, 20)
        assert not stays.done()
        await end(stays)


async def test_signing_out_ends_the_streams_of_a_session(memory: Place, hasty: None) -> None:
    async with opened(memory) as door:
        admin = await door.as_("admin")
        key = (await admin.post(f"{API}/keys", json={"name": "k", "role": "operator"})).json()
        browser = await door.client()
        stands = (await browser.post(SESSION, json={"credential": key["key"]})).json()
        task = await stream_of(door, Stream(), Cookie=f"{COOKIE}={browser.cookies[COOKIE]}")
        assert not task.done()
        await browser.delete(SESSION, headers={CSRF: stands["csrf"]})
        await asyncio.wait_for(task, 20)


def test_access_ends_within_a_minute() -> None:
    assert news.RECHECK + news.PING <= 60


async def test_others_jobs_are_not_named_by_naming_them(memory: Place) -> None:
    """Neither `job:<id>` nor a cursor reaches beyond one's own."""
    async with opened(memory) as door:
        cursor = await awake(door)
        theirs = await enqueue(await door.as_("user", "bob"))
        await door.app.drain()
        for role, project in (("user", None), ("user", "p"), ("operator", "p"), ("admin", "p")):
            client = await door.as_(role, "ann", project)
            for topics in (f"job:{theirs}", f"jobs,counts,settings,job:{theirs}"):
                page = (await client.get(f"{API}/events/poll", params={"topics": topics, "after": cursor})).json()
                assert page["events"] == [], (role, project)


async def test_nothing_is_missed_between_catching_up_and_reading_on(memory: Place) -> None:
    """What comes after a first listener has caught up, before the journal's reader has begun."""
    async with opened(memory) as door:
        await awake(door)
        room = Newsroom(door.app.store)
        stream, client = Stream(), await door.as_("admin")
        listening = room.listen(Wanted(frozenset({"jobs"}), frozenset(), Reach()), None)
        stream.feed((await anext(listening)).decode())  # it has caught up, and waits to go on
        id = await enqueue(client)

        async def listen() -> None:
            async for frame in listening:
                stream.feed(frame.decode())

        task = asyncio.create_task(listen())
        await until(lambda: "waiting" in stream.states_of(id), "the news from between")
        await end(task)
        await listening.aclose()


async def test_a_job_is_followed_through_a_crowd(memory: Place) -> None:
    """One job's news are not lost among those of hundreds of others in the same moment."""
    async with opened(memory) as door:
        await awake(door)
        stream = Stream()
        refs = await door.app.enqueue_many([door.app.handlers["add"].job(n) for n in range(400)])
        first = refs[0].id
        task = await follow(door, "admin", stream, topics=f"job:{first}")
        await door.app.drain()
        await until(lambda: "completed" in stream.states_of(first), "the end of the one job")
        assert {
            id for event, data in stream.messages if event == "jobs" for c in data["changes"] for id in c["ids"]
        } == {first}
        await end(task)


async def test_entries_that_do_not_name_all_their_jobs(memory: Place) -> None:
    async with opened(memory) as door:
        id = await enqueue(await door.as_("user", "ann"))
        await door.app.drain()
        room = Newsroom(door.app.store)
        cut = _Tick([Happening(1, "completed", ("another",), 500)], "c1")
        for reach, told in ((Reach(), True), (Reach("ann"), True), (Reach("bob"), False)):
            found = await room._told(Wanted(frozenset(), frozenset({id}), reach), cut)  # pyright: ignore[reportPrivateUsage]
            ids = [i for each in found for change in each.data["changes"] for i in change.ids]
            assert ids == ([id] if told else [])


async def test_topics_have_an_end(memory: Place) -> None:
    async with opened(memory) as door:
        client = await door.as_("admin")
        many = ",".join(f"job:{n}" for n in range(101))
        for topics in (many, "jobs," * 2_000, "everything", "", "job", "jobs;counts"):
            problem(await client.get(f"{API}/events/poll", params={"topics": topics}), 422, "invalid-parameter")
        strange = "job:\u2028\U0001f4a5,job:*,job:%,job:'--"
        assert (await client.get(f"{API}/events/poll", params={"topics": strange})).status_code == 200
        for cursor in ("0-0", "zzz", "-", "ffffffffffffffff-ffffffffffffffff", "1-1-1", "\u0661-1", "9" * 500):
            answer = await client.get(f"{API}/events/poll", params={"after": cursor})
            assert answer.status_code == 200 and answer.json()["reset"], cursor


async def test_streams_of_one_caller_and_of_all_are_bounded(memory: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news, "MOST_OF_ONE", 2)
    monkeypatch.setattr(news, "MOST_LISTENERS", 3)
    async with opened(memory) as door:
        client = await door.as_("admin")
        mine = [await follow(door, "admin", Stream()) for _ in range(2)]
        problem(await client.get(f"{API}/events"), 429, "too-many-streams")
        mine.append(await follow(door, "admin", Stream(), user="bob"))
        problem(await (await door.as_("admin", "eve")).get(f"{API}/events"), 429, "too-many-streams")
        await end(mine.pop())
        mine.append(await follow(door, "admin", Stream(), user="eve"))
        for task in mine:
            await end(task)


def test_thousands_that_read_nothing_cost_little() -> None:
    """5,000 listeners, each 200 ticks behind, share what they are told."""
    listeners = [_Listener() for _ in range(5_000)]
    tracemalloc.start()
    try:
        for n in range(200):
            tick = _Tick([Happening(n, "waiting", tuple(f"{n}-{i}" for i in range(100)), 100)], f"c{n}")
            for listener in listeners:
                listener.put(tick)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 40_000_000, f"{held:,} bytes"


async def test_a_reader_that_died_is_replaced(memory: Place) -> None:
    async with opened(memory) as door:
        await awake(door)
        room = Newsroom(door.app.store)

        async def broken() -> None:
            raise RuntimeError("a fault of ours")

        room._reading = asyncio.create_task(broken())  # pyright: ignore[reportPrivateUsage]
        await asyncio.wait([room._reading])  # pyright: ignore[reportPrivateUsage]
        room._reading.exception()  # pyright: ignore[reportPrivateUsage]
        stream = Stream()
        listening = room.listen(Wanted(frozenset({"jobs"}), frozenset(), Reach()), None)

        async def listen() -> None:
            async for frame in listening:
                stream.feed(frame.decode())

        task = asyncio.create_task(listen())
        await until(lambda: room._listeners, "the listener")  # pyright: ignore[reportPrivateUsage]
        id = await enqueue(await door.as_("admin"))
        await until(lambda: "waiting" in stream.states_of(id), "news by the next reader")
        await end(task)
        await listening.aclose()


async def test_no_credential_in_an_address(memory: Place) -> None:
    """Addresses end up in logs and histories."""
    async with opened(memory) as door:
        client = await door.as_("admin")
        bearer = client.headers.pop("authorization").split()[1]
        for name in ("token", "access_token", "key", "api_key"):
            assert (await client.get(f"{API}/events", params={name: bearer})).status_code == 401
