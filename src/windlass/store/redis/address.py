"""Store URLs of this engine, and the client that each topology needs."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import redis.asyncio as redis
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from windlass.errors import SettingsError

# No retry inside the client: it would repeat verbs that must not be repeated. Worker and app retry what may be.
_CALM: dict[str, Any] = {
    "socket_timeout": 5.0,  # a connection that fell silent is given up so soon; every script takes milliseconds
    "socket_connect_timeout": 5.0,
    "protocol": 2,
}
_TCP: dict[str, Any] = {**_CALM, "socket_keepalive": True}

_TLS_OPTIONS = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")


class Address(NamedTuple):
    """`shown`: the URL without its password. `connect` makes the client for commands, `subscribe` one for pub/sub."""

    shown: str
    connect: Callable[[], Any]
    subscribe: Callable[[], Any]


def read_address(url: str) -> Address:
    """Schemes: redis, rediss, unix, valkey(s), redis+sentinel://host,host/master/db, redis+cluster://host,host.

    Raises `SettingsError` for an address that names no host, or a sentinel address without its master.
    """
    parts = urlsplit(url)
    scheme = parts.scheme.lower().replace("valkey", "redis")
    if scheme in ("redis+sentinel", "rediss+sentinel"):
        make = _sentinel(parts, tls=scheme.startswith("rediss"))
        return Address(_shown(parts), make, make)
    if scheme in ("redis+cluster", "rediss+cluster"):
        return _cluster(parts, tls=scheme.startswith("rediss"))
    plain = url.replace(parts.scheme, scheme, 1)

    options = _CALM if scheme == "unix" else _TCP

    def make_plain() -> Any:
        return redis.Redis.from_url(plain, retry=_no_retry(), **options)  # pyright: ignore[reportUnknownMemberType]

    return Address(_shown(parts), make_plain, make_plain)


async def shut(client: Any) -> None:
    """Close a client with every connection it has, also those to the sentinels it asked for its master."""
    try:
        await client.aclose()
    finally:
        watch = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
        for sentinel in () if watch is None else watch.sentinels:
            await sentinel.aclose()


def _shown(parts: SplitResult) -> str:
    login, at, host = parts.netloc.rpartition("@")
    user = login.partition(":")[0]
    return f"{parts.scheme}://{user + '@' if at and user else ''}{host}{parts.path}"


def _no_retry() -> Retry:
    return Retry(NoBackoff(), 0)


def _hosts(parts: SplitResult, port: int) -> list[tuple[str, int]]:
    hosts: list[tuple[str, int]] = []
    for host in parts.netloc.rpartition("@")[2].split(","):
        name, _, number = host.rpartition(":") if not host.endswith("]") and ":" in host else (host, "", "")
        if not name or (number and not number.isdigit()):
            raise SettingsError(
                f"the store URL {_shown(parts)!r} has a host without a name or with a bad port",
                field="url",
                value=host,
                limit="host:port,host:port",
                mend="write redis+sentinel://host:26379,host:26379/master/0",
            )
        hosts.append((name.strip("[]"), int(number or port)))
    return hosts


def _login(parts: SplitResult) -> dict[str, Any]:
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    login = {"username": unquote(user) or None, "password": unquote(password) or None}
    return {key: value for key, value in login.items() if value is not None}


def _tls(asked: dict[str, list[str]]) -> dict[str, Any]:
    """What a URL says about TLS, under the client's names: `?ssl_ca_certs=ca.pem&ssl_certfile=...&ssl_keyfile=...`."""
    given = {name: values[0] for name, values in asked.items() if name in _TLS_OPTIONS}
    check = given.pop("ssl_check_hostname", None)
    return {
        "ssl": True,
        **given,
        **({} if check is None else {"ssl_check_hostname": check.lower() in ("1", "true", "yes")}),
    }


def _sentinel(parts: SplitResult, *, tls: bool) -> Callable[[], Any]:
    master, _, db = parts.path.strip("/").partition("/")
    if not master:
        raise SettingsError(
            "a sentinel URL names its master: redis+sentinel://host:26379/master/0",
            field="url",
            value=_shown(parts),
            mend="add the master's name as the path",
        )
    hosts = _hosts(parts, 26379)
    asked = parse_qs(parts.query)
    secure = _tls(asked) if tls else {}
    options: dict[str, Any] = {**_TCP, **_login(parts), "db": int(db or 0), **secure}
    watch: dict[str, Any] = {"socket_timeout": 2.0, "socket_connect_timeout": 2.0, **secure}
    if "sentinel_password" in asked:
        watch["password"] = asked["sentinel_password"][0]

    def make() -> Any:
        sentinel = Sentinel(hosts, sentinel_kwargs=watch, retry=_no_retry(), **options)
        return cast("Any", sentinel.master_for(master))  # pyright: ignore[reportUnknownMemberType]

    return make


def _cluster(parts: SplitResult, *, tls: bool) -> Address:
    hosts = _hosts(parts, 6379)
    options: dict[str, Any] = {**_TCP, **_login(parts), **(_tls(parse_qs(parts.query)) if tls else {})}

    def make() -> Any:
        nodes = [ClusterNode(host, port) for host, port in hosts]
        return redis.RedisCluster(startup_nodes=nodes, **options)

    def subscribe() -> Any:
        host, port = hosts[0]  # a message published on any node of a cluster reaches all of them
        return redis.Redis(host=host, port=port, retry=_no_retry(), **options)

    return Address(_shown(parts), make, subscribe)
