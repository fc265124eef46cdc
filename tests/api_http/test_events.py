"""Live events: the stream and its poll, resumed, filtered, slow listeners, and within a caller's reach."""

import asyncio
import json
from typing import Any

from tests.api_http.kit import Door, opened
from tests.api_http.test_conventions import problem
from tests.store.kit import Place
from tests.waiting import until
from windlass.api.news import _ROOM, _Listener, _Tick, close_all  # pyright: ignore[reportPrivateUsage]
from windlass.values.query import Happening

API = "/api/v1"


class Stream:
    """What a browser's EventSource would have: messages and the last id."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, Any]] = []
        self.ids: list[str] = []

    def feed(self, text: str) -> None:
        for block in text.split("\n\n"):
            fields = dict(
                line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":")
            )
            if "id" in fields:
                self.ids.append(fields["id"])
            if "event" in fields:
                self.messages.append((fields["event"], json.loads(fields["data"])))

    def states_of(self, id: str) -> list[str]:
        return [
            change["event"]
            for event, data in self.messages
            if event == "jobs"
            for change in data["changes"]
            if id in change["ids"]
        ]


async def follow(
    door: Door, role: str, stream: Stream, *, user: str = "ann", last: str | None = None, topics: str = ""
) -> Any:
    """A task that reads the stream through the application itself; httpx's own transport waits for the end of a body."""
    client = await door.as_(role, user)
    headers = [(b"authorization", client.headers["authorization"].encode()), (b"host", b"api.test")]
    if last is not None:
        headers.append((b"last-event-id", last.encode()))
    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "path": f"{API}/events", "raw_path": f"{API}/events".encode(),
        "query_string": f"topics={topics}".encode() if topics else b"", "headers": headers, "http_version": "1.1",
        "scheme": "http", "server": ("api.test", 80), "client": ("192.0.2.9", 1), "root_path": "",
    }  # fmt: skip
    started = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200
            assert dict(message["headers"])[b"content-type"].startswith(b"text/event-stream")
        if message["type"] == "http.response.body":
            stream.feed(message.get("body", b"").decode())
            started.set()

    task = asyncio.create_task(door.asgi(scope, receive, send))
    await started.wait()
    return task


async def awake(door: Door) -> str:
    """A cursor of now, once the journal has been awake for so long that it has nothing to confess."""
    client = await door.as_("admin")
    found: list[str] = []

    async def settled() -> bool:
        answer = (await client.get(f"{API}/events/poll", params={"after": found[-1]} if found else None)).json()
        found.append(answer["cursor"])
        return len(found) > 1 and not answer["reset"]

    await until(settled, "the journal's being awake")
    return found[-1]


async def end(task: Any) -> None:
    task.cancel()
    await asyncio.wait([task])


async def test_a_job_is_followed_live(place: Place) -> None:
    async with opened(place) as door:
        client, stream = await door.as_("admin"), Stream()
        await awake(door)
        task = await follow(door, "admin", stream)
        await until(lambda: any(event == "counts" for event, _ in stream.messages), "the counts at the beginning")
        id = (await client.post(f"{API}/jobs", json={"kind": "add", "args": {"a": 1}})).json()["id"]
        await until(lambda: "waiting" in stream.states_of(id), "the news that it waits")
        await door.app.drain()
        await until(lambda: "completed" in stream.states_of(id), "the news that it is done")
        await client.put(f"{API}/queues/mail/pause")
        await until(
            lambda: any(
                event == "settings" and data["changes"][0]["ids"] == ["mail"] for event, data in stream.messages
            ),
            "the news of the queue",
        )
        await end(task)


async def test_what_was_missed_comes_on_return(place: Place) -> None:
    async with opened(place) as door:
        client, stream = await door.as_("admin"), Stream()
        await awake(door)
        task = await follow(door, "admin", stream)
        first = (await client.post(f"{API}/jobs", json={"kind": "add", "args": {"a": 1}})).json()["id"]
        await until(lambda: bool(stream.states_of(first)) and bool(stream.ids), "the first news")
        await end(task)
        missed = (await client.post(f"{API}/jobs", json={"kind": "add", "args": {"a": 2}})).json()["id"]
        again = Stream()
        task = await follow(door, "admin", again, last=stream.ids[-1])
        await until(lambda: bool(again.states_of(missed)) or ("reset", {}) in again.messages, "what was missed")
        await end(task)
        lost = Stream()
        task = await follow(door, "admin", lost, last="nonsense")
        await until(lambda: ("reset", {}) in lost.messages, "a reset for a cursor that nobody knows")
        await end(task)


async def test_polling_tells_the_same(place: Place) -> None:
    async with opened(place) as door:
        client = await door.as_("admin")
        cursor = await awake(door)
        id = (await client.post(f"{API}/jobs", json={"kind": "add", "args": {"a": 1}})).json()["id"]
        page = (await client.get(f"{API}/events/poll", params={"after": cursor, "topics": "jobs"})).json()
        assert page["events"] == [
            {"event": "jobs", "data": {"changes": [{"event": "waiting", "ids": [id], "count": 1}]}}
        ]
        assert (await client.get(f"{API}/events/poll", params={"after": page["cursor"]})).json()["events"] == []
        problem(await client.get(f"{API}/events/poll?topics=weather"), 422, "invalid-parameter")


async def test_callers_hear_of_their_own_jobs_only(place: Place) -> None:
    async with opened(place) as door:
        ann, bob, admin = await door.as_("user", "ann"), await door.as_("user", "bob"), Stream()
        hers = Stream()
        await awake(door)
        tasks = [await follow(door, "user", hers, user="ann"), await follow(door, "admin", admin)]
        own = (await ann.post(f"{API}/jobs", json={"kind": "add", "args": {"a": 1}})).json()["id"]
        other = (await bob.post(f"{API}/jobs", json={"kind": "add", "args": {"a": 1}})).json()["id"]
        last = (await ann.post(f"{API}/jobs", json={"kind": "add", "args": {"a": 3}})).json()["id"]
        await until(lambda: bool(hers.states_of(last)) and bool(admin.states_of(other)), "the news of both")
        assert hers.states_of(own) and not hers.states_of(other)
        assert {event for event, _ in hers.messages} == {"jobs"}, "nor counts or settings of the whole installation"
        for task in tasks:
            await end(task)


async def test_a_call_that_names_few_of_its_jobs_is_told_without_ids(place: Place) -> None:
    """Ann's job is somewhere among 150 of one call, of which the journal names 100: she is told to look, not nothing."""
    async with opened(place) as door:
        stream, add = Stream(), door.app.kind("add")
        await awake(door)
        task = await follow(door, "user", stream, user="ann")
        await door.app.enqueue_many([add.options(user="bob").job(a=n) for n in range(150)])
        changes = [{"event": "waiting", "ids": [], "count": 0}]
        await until(lambda: ("jobs", {"changes": changes}) in stream.messages, "the news that names nobody")
        await end(task)


async def test_one_job_alone(memory: Place) -> None:
    async with opened(memory) as door:
        client, stream = await door.as_("admin"), Stream()
        ids = [(await client.post(f"{API}/jobs", json={"kind": "add", "args": {"a": n}})).json()["id"] for n in (1, 2)]
        task = await follow(door, "admin", stream, topics=f"job:{ids[0]}")
        await door.app.drain()
        await until(lambda: "completed" in stream.states_of(ids[0]), "the news of the one")
        assert not stream.states_of(ids[1])
        await end(task)


async def test_streams_end_when_the_server_leaves(memory: Place) -> None:
    async with opened(memory) as door:
        stream = Stream()
        task = await follow(door, "admin", stream)
        close_all()
        await asyncio.wait_for(task, 10)


async def test_a_slow_listener_gets_one_reset() -> None:
    listener = _Listener()
    for n in range(_ROOM + 1):
        listener.put(_Tick([Happening(n, "waiting", (str(n),), 1)], f"c{n}"))
    tick = await listener.next(1)
    assert tick is not None and tick.reset and tick.cursor == f"c{_ROOM}" and not tick.entries
    assert await listener.next(0.001) is None
