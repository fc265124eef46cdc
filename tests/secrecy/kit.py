"""Keys, an app with secrets, and what a store holds in bytes."""

from pathlib import Path
from typing import Any

import apsw
import psycopg
import redis

from tests.store.kit import Place
from windlass import Context, Unique, Windlass, result_of
from windlass.secrecy import Keys, Secret, generate_key

FIRST, SECOND = generate_key(), generate_key()
CANARY = 'canary-7f3a-öü-"quoted"-secret'


def make_app(place: Place, keys: Keys | None = None, **settings: Any) -> Windlass:
    """An app with an encrypted kind, one with a secret argument, and a plain one."""
    app = Windlass(place.url, namespace=place.namespace, encryption=keys or Keys({"one": FIRST}), **settings)

    @app.job(encrypt=True, max_attempts=1)
    async def pay(ctx: Context, card: str, fail: bool = False) -> dict[str, str]:
        await ctx.log(f"paying with {card}")
        await ctx.progress(10, f"card {card}")
        print("printed", repr(ctx.job))
        if fail:
            raise ValueError(f"declined: {card}")
        return {"paid": card}

    @app.job(max_attempts=1)
    async def login(ctx: Context, user: str, password: Secret[str], fail: bool = False) -> str:
        await ctx.log(f"{user} logs in with {password}")
        await ctx.progress(10, f"with {password}")
        if fail:
            raise ValueError(f"wrong: {password!r} and {password}")
        return user

    @app.job(encrypt=True)
    async def durable(ctx: Context, card: str) -> str:
        first = await ctx.step("charge", charge, card)
        heard = await ctx.wait_for("approved")
        return f"{first} {heard['pin']}"

    @app.job
    async def add(a: int, b: int) -> int:
        return a + b

    @app.job(encrypt=True, unique=Unique(args=("card",)), limits=[])
    async def single(card: str) -> None: ...

    @app.job(encrypt=True, unique=Unique(args=("card",), on_conflict="replace"))
    async def replaced(card: str, note: str) -> str:
        return f"{card} {note}"

    @app.job(encrypt=True, cache="1h")
    async def looked_up(card: str) -> str:
        return f"about {card}"

    @app.job(encrypt=True)
    def threaded(card: str) -> str:
        return card

    @app.job
    async def length(text: str) -> int:
        return len(text)

    return app


async def charge(card: str) -> str:
    return f"charged {card}"


def raw_bytes(place: Place) -> bytes:
    """Everything the store holds, as it holds it: files, keys and values, rows. Empty for a store in memory."""
    if place.url.startswith("redis"):
        return _redis_bytes(place.url)
    if place.url.startswith("postgres"):
        return _postgres_bytes(place)
    if ":memory:" in place.url:
        return b""
    path = Path(place.url.removeprefix("sqlite:///"))
    dumped = "\n".join(map(repr, _rows(path)))
    return b"".join(each.read_bytes() for each in path.parent.iterdir() if each.is_file()) + dumped.encode()


def _rows(path: Path) -> list[Any]:
    connection = apsw.Connection(str(path))
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    rows = [row for name in tables for row in connection.execute(f'SELECT * FROM "{name}"')]
    connection.close()
    return rows


def _redis_bytes(url: str) -> bytes:
    client = redis.Redis.from_url(url)
    found: list[bytes] = []
    for key in client.scan_iter(count=1000):
        found += [key, _value(client, key)]
    client.close()
    return b"\n".join(found)


def _value(client: Any, key: bytes) -> bytes:
    kind = client.type(key)
    if kind == b"hash":
        return repr(client.hgetall(key)).encode()
    if kind == b"zset":
        return repr(client.zrange(key, 0, -1)).encode()
    if kind == b"list":
        return repr(client.lrange(key, 0, -1)).encode()
    if kind == b"set":
        return repr(client.smembers(key)).encode()
    if kind == b"stream":
        return repr(client.xrange(key)).encode()
    return client.get(key) or b""


def _postgres_bytes(place: Place) -> bytes:
    found: list[str] = []
    with psycopg.connect(place.url, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND c.relkind = 'r'",
            (place.namespace,),
        ).fetchall()
        for (name,) in tables:
            found += [repr(row) for row in connection.execute(f"SELECT t::text FROM {name} t").fetchall()]
    return "\n".join(found).encode()


__all__ = ["CANARY", "FIRST", "SECOND", "charge", "make_app", "raw_bytes", "result_of"]
