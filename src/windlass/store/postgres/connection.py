"""A connection as the engine uses it: the part of asyncpg's interface that we rely on, typed, and how one is opened."""

from collections.abc import Callable
from typing import Any, Protocol, cast

import asyncpg

from windlass.store.postgres.address import Address
from windlass.store.postgres.faults import translate

CONNECT_TIMEOUT = 10
COMMAND_TIMEOUT = 30
"""Seconds. A peer that is gone without a word (a dropped NAT entry) would hold a call until the kernel gives up."""
# Without a scan of the whole table as a choice, a plan that was made while the table was small stays right when it has grown
# (generic plans are kept for the life of a connection), and JIT would only ever cost: the statements are short.
_SETTINGS = {
    "application_name": "windlass",
    "jit": "off",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_bitmapscan": "off",
    "plan_cache_mode": "force_generic_plan",
    # A process that freezes inside a transaction (SIGSTOP, a paused VM) would keep its jobs' rows locked, and rescue passes
    # over locked rows: its jobs would wait until it thaws. Ours last milliseconds; one that is ended so is made again.
    "idle_in_transaction_session_timeout": "2s",
}


class Transaction(Protocol):
    async def start(self) -> None: ...
    async def commit(self) -> None: ...
    async def rollback(self) -> None: ...
    async def __aenter__(self) -> Any: ...
    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> Any: ...


class Connection(Protocol):
    """asyncpg's own stubs leave the types of rows and arguments open."""

    async def fetch(self, query: str, *args: Any) -> list[Any]: ...
    async def fetchrow(self, query: str, *args: Any) -> Any: ...
    async def fetchval(self, query: str, *args: Any) -> Any: ...
    async def execute(self, query: str, *args: Any) -> str: ...
    def transaction(self) -> Transaction: ...
    def is_in_transaction(self) -> bool: ...
    def is_closed(self) -> bool: ...
    def terminate(self) -> None: ...
    async def close(self, *, timeout: float | None = None) -> None: ...
    def get_server_pid(self) -> int: ...
    async def add_listener(self, channel: str, callback: Callable[[Any, int, str, object], None]) -> None: ...
    def add_termination_listener(self, callback: Callable[[Any], None]) -> None: ...


async def connect(address: Address, **settings: str) -> Connection:
    """A connection of our own; a failure is a `StoreError`. A pooler takes no settings and keeps no prepared statements."""
    own = {"application_name": "windlass"} if address.pooler else {**_SETTINGS, **settings}
    opened = cast(Any, asyncpg).connect(
        address.dsn,
        timeout=CONNECT_TIMEOUT,
        command_timeout=COMMAND_TIMEOUT,
        statement_cache_size=0 if address.pooler else 500,
        max_cached_statement_lifetime=0,
        max_cacheable_statement_size=0,
        server_settings=own,
    )
    try:
        return cast(Connection, await opened)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
        raise translate(error, address.shown) from error
