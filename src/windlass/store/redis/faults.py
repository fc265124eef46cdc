"""What the client and the server raise, as the errors of Windlass."""

from redis import exceptions as redis_errors

from windlass.errors import StoreError, StoreFull, StoreReadOnly, StoreUnavailable

# Errors that a script meets inside come as plain text, so the word is looked for, not only the class.
_UNAVAILABLE = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY ", "UNKILLABLE", "NOREPLICAS")
FAILURES = (redis_errors.RedisError, OSError, TimeoutError, RuntimeError)
"""What a call to the server may raise for reasons outside this program. RuntimeError: a transport of uvloop that the peer
has just reset says "unable to perform operation on <TCPTransport closed=True ...>; the handler is closed"."""


def moved_away(error: BaseException) -> bool:
    """Whether the server is no longer the one to write to, so that connections to it must go."""
    return isinstance(error, redis_errors.ReadOnlyError) or "READONLY" in str(error)


def _cut(error: BaseException, said: str) -> bool:
    return isinstance(error, RuntimeError) and ("handler is closed" in said or "closed=True" in said)


def translate(error: BaseException, url: str) -> StoreError | None:
    """The Windlass error of a client error; None when it is a defect and should be seen as it is."""
    said = str(error)
    if "OOM command not allowed" in said or isinstance(error, redis_errors.OutOfMemoryError):
        return StoreFull(
            f"{url} has no memory left (maxmemory)", url=url, mend="raise maxmemory, or prune and let workers catch up"
        )
    if "MISCONF" in said:
        return StoreReadOnly(f"{url} refuses writes: {said}", url=url, mend="see why the server cannot save to disk")
    if isinstance(error, redis_errors.AuthenticationError | redis_errors.NoPermissionError) or "NOAUTH" in said:
        return StoreUnavailable(f"{url} refuses this user: {said}", url=url, mend="check user, password and ACL rules")
    transient = (
        redis_errors.ConnectionError,
        redis_errors.TimeoutError,
        redis_errors.ReadOnlyError,
        redis_errors.ClusterError,
        redis_errors.RedisClusterException,
        OSError,
        TimeoutError,
    )
    if isinstance(error, transient) or _cut(error, said) or any(word in said for word in _UNAVAILABLE):
        return StoreUnavailable(f"{url} cannot be reached: {said or type(error).__name__}", url=url)
    return None
