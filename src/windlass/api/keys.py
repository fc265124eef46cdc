"""API keys: made once, shown once, kept as a hash among the store's records; looked up again after a few seconds."""

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from hashlib import sha256

import msgspec
from msgspec.structs import replace

from windlass.api.caller import Caller, Role
from windlass.store.protocol import Store
from windlass.values.query import Record, Swap

SPACE = "api-key"
MARK = "wl_"
"""What every key begins with, so that scanners of leaked secrets know it."""

_FRESH = 5.0
"""Seconds after which a key is read from the store again: the longest that a key revoked elsewhere still opens anything."""
_MOST_KNOWN = 20_000
_NOBODY = sha256(b"").hexdigest()


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is kept. `prefix` is what people recognise it by; `scopes` None: everything its role may do."""

    id: str
    name: str
    hash: str
    role: Role
    user: str
    project: str | None
    scopes: tuple[str, ...] | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_by: str | None = None

    @property
    def prefix(self) -> str:
        return f"{MARK}{self.id}"

    @property
    def is_live(self) -> bool:
        """Whether it opens anything now."""
        return self.revoked_at is None and (self.expires_at is None or datetime.now(UTC) < self.expires_at)

    @property
    def caller(self) -> Caller:
        scopes = None if self.scopes is None else frozenset(self.scopes)
        return Caller(user=self.user, role=self.role, project=self.project, scopes=scopes, key=self.id)


_READ = msgspec.json.Decoder(ApiKey)


class ApiKeys:
    """The keys of one installation."""

    def __init__(self, store: Callable[[], Awaitable[Store]]) -> None:
        self._store = store
        self._known: OrderedDict[str, tuple[ApiKey | None, float]] = OrderedDict()

    async def create(self, key: ApiKey) -> tuple[ApiKey, str]:
        """Keep a key under an id and a secret of its own; the key, and the text that opens, which nobody can tell again."""
        id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        key = replace(key, id=id, hash=_hash(secret), user=key.user or f"key-{id}")
        await self._write(key, expect=0)
        return key, f"{key.prefix}_{secret}"

    async def list(self) -> list[ApiKey]:
        """Every key, the newest first; revoked and expired ones too."""
        records = await (await self._store()).records(SPACE)
        keys = [_READ.decode(record.text) for record in records if record.text]
        return sorted(keys, key=lambda key: key.created_at, reverse=True)

    async def revoke(self, id: str, actor: str) -> ApiKey | None:
        """Close a key for good; None if there is none."""
        while True:
            record = await self._record(id)
            if record is None or record.text is None:
                return None
            key = _READ.decode(record.text)
            if key.revoked_at is not None:
                return key
            key = replace(key, revoked_at=datetime.now(UTC), revoked_by=actor)
            if await self._write(key, expect=record.version):
                return key

    async def caller(self, text: str) -> Caller | None:
        """Whom a key stands for; None if it opens nothing. Unknown ids cost as much as known ones."""
        mark, id, secret = ("", "", "") if text.count("_") < 2 else text.split("_", 2)
        key = await self._find(id) if f"{mark}_" == MARK and len(id) == 12 and id.isalnum() and id.isascii() else None
        same = hmac.compare_digest(_hash(secret), key.hash if key else _NOBODY)
        return key.caller if key is not None and same and key.is_live else None

    async def is_live(self, id: str) -> bool:
        """Whether the key of this id still opens anything; a revocation elsewhere is noticed within seconds."""
        key = await self._find(id)
        return key is not None and key.is_live

    async def any(self) -> bool:
        """Whether a key opens anything at all."""
        return any(key.is_live for key in await self.list())

    async def _find(self, id: str) -> ApiKey | None:
        known = self._known.get(id)
        if known is None or time.monotonic() - known[1] > _FRESH:
            record = await self._record(id)
            known = (_READ.decode(record.text) if record and record.text else None, time.monotonic())
            self._known[id] = known
            self._known.move_to_end(id)
            if len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        return known[0]

    async def _record(self, id: str) -> Record | None:
        return next(iter(await (await self._store()).records(SPACE, [id])), None)

    async def _write(self, key: ApiKey, expect: int) -> bool:
        text = msgspec.json.encode(key).decode()
        swap = Swap(space=SPACE, key=key.id, text=text, expect=expect)
        (answer,) = await (await self._store()).exchange([swap])
        self._known.pop(key.id, None)
        return answer.swapped


def _hash(secret: str) -> str:
    """A plain hash is enough: the secret has 256 random bits, so there is nothing to guess."""
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
