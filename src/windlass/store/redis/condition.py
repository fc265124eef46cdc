"""What `doctor` is told of the server: version, durability, memory, and what would be lost."""

from typing import Any, cast

from redis.exceptions import ResponseError

from windlass.store.redis.connection import Link

OLDEST = (6, 2)
_LARGE = 4 << 30


async def health(link: Link) -> dict[str, Any]:
    """Facts and warnings. A managed server may refuse CONFIG: then INFO tells what it can."""
    facts = _read_info(await link.command("INFO"))
    policy = facts.get("maxmemory_policy", "unknown")
    fsync = await _setting(link, "appendfsync")
    appending = facts.get("aof_enabled") == "1"
    used = int(facts.get("used_memory", 0))
    return {
        "engine": "valkey" if "valkey_version" in facts else "redis",
        "version": facts.get("valkey_version") or facts.get("redis_version", "unknown"),
        "durability": f"append-only file, fsync {fsync}" if appending else "snapshots only",
        "maxmemory_policy": policy,
        "appendonly": appending,
        "appendfsync": fsync,
        "size": used,
        "maxmemory": int(facts.get("maxmemory", 0)),
        "allocator": facts.get("mem_allocator", "unknown"),
        "role": facts.get("role", "unknown"),
        "warnings": _warnings(facts, policy, fsync, appending, used),
    }


def _warnings(facts: dict[str, str], policy: str, fsync: str, appending: bool, used: int) -> list[str]:
    warnings: list[str] = []
    if policy not in ("noeviction", "unknown"):
        lost = "any job" if policy.startswith("allkeys") else "nothing today, since no key of ours expires by itself"
        warnings.append(f"maxmemory-policy is {policy}: when memory is full the server may drop {lost}; set noeviction")
    if not appending:
        warnings.append("appendonly is off: a restart loses every job since the last snapshot; set appendonly yes")
    elif fsync == "no":
        warnings.append("appendfsync is no: a power cut loses about 30 seconds of jobs; set everysec or always")
    elif fsync == "everysec":
        warnings.append(
            "appendfsync is everysec: a power cut may lose the last second of jobs (a crash of Redis does not)"
        )
    version = _numbers(facts.get("redis_version", ""))
    if version and version < OLDEST:
        warnings.append(f"version {facts['redis_version']} is older than 6.2: scripts will fail; upgrade the server")
    if facts.get("role") == "slave":
        warnings.append("this server is a replica: it refuses writes until it is promoted")
    if used > _LARGE:
        warnings.append("more than 4 GB are in use: each rewrite of the append-only file stops the server 20 ms a GB")
    limit = int(facts.get("maxmemory", 0))
    if limit and used > limit * 0.9:
        warnings.append("over 90 % of maxmemory is in use: soon no job can be stored")
    return warnings


async def _setting(link: Link, name: str) -> str:
    try:
        found = await link.command("CONFIG", "GET", name)
    except ResponseError:  # some hosts refuse or rename CONFIG
        return "unknown"
    return _read_pairs(found).get(name, "unknown")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _read_info(reply: Any) -> dict[str, str]:
    """INFO, which the client hands over parsed, or as text by a cluster's."""
    if isinstance(reply, dict):
        return {_text(key): _text(value) for key, value in cast("dict[Any, Any]", reply).items()}
    lines = (line.partition(":") for line in _text(reply).splitlines())
    return {key: value for key, _, value in lines if value}


def _read_pairs(reply: Any) -> dict[str, str]:
    if isinstance(reply, dict):
        return {_text(key): _text(value) for key, value in cast("dict[Any, Any]", reply).items()}
    flat = cast("list[Any]", reply)
    return {_text(key): _text(value) for key, value in zip(flat[::2], flat[1::2], strict=True)}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
