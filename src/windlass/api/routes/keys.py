"""API keys, and who one is oneself."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from windlass.api.caller import Role
from windlass.api.keys import ApiKey
from windlass.api.operation import Call, Reply, Routes
from windlass.api.paging import Listing, whole
from windlass.api.permissions import Permission, allowed
from windlass.api.problems import Flaw, Problem
from windlass.api.specs import Duration, Name
from windlass.values.clock import seconds

routes = Routes("keys", "API keys: made, shown once, revoked.")


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key. `scopes` null: all that its role may do. `user`: whose jobs are its own, a name of the key's own if left out."""

    name: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
    role: Role = Role.USER
    user: Name | None = None
    project: Name | None = None
    scopes: tuple[Permission, ...] | None = None
    expires: Duration | None = None


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    """A key, without what opens."""

    id: str
    prefix: str
    name: str
    role: Role
    user: str
    project: str | None
    scopes: tuple[str, ...] | None
    live: bool
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None


class CreatedKey(KeyView, frozen=True, kw_only=True):
    """A new key. `key` is what goes behind `Authorization: Bearer`; it is told this once."""

    key: str


class SelfView(msgspec.Struct, frozen=True, kw_only=True):
    """Who the caller is and what it may do."""

    user: str
    role: Role
    project: str | None
    key: str | None
    permissions: list[Permission]


@routes.get("/keys")
async def list_keys(call: Call) -> Reply[Listing[KeyView]]:
    """List API keys, revoked and expired ones too."""
    return whole(call, [_view(key) for key in await call.rooms.keys.list()])


@routes.post("/keys", status=201, secret=True, example={"name": "shop", "role": "user", "user": "shop"})
async def create_key(call: Call, body: NewKey) -> CreatedKey:
    """Create an API key. The answer is the only one that shows it."""
    own = call.caller.scopes
    if own is not None and (body.scopes is None or not own.issuperset(body.scopes)):
        flaw = Flaw("must be some of your own", "forbidden", "/scopes")
        raise Problem(403, "forbidden", "a key cannot do more than whoever makes it", flaws=[flaw])
    if call.rooms.settings.projects == "required" and body.project is None and body.role is not Role.ADMIN:
        flaw = Flaw("is needed here", "invalid", "/project")
        raise Problem(422, "invalid-body", "every key is bound to a project", flaws=[flaw])
    now = datetime.now(UTC)
    expires = None if body.expires is None else now + timedelta(seconds=seconds(body.expires, "expires"))
    asked = ApiKey(
        id="",
        name=body.name,
        hash="",
        role=body.role,
        user=body.user or "",
        project=body.project,
        scopes=body.scopes,
        created_at=now,
        created_by=call.caller.actor,
        expires_at=expires,
    )
    key, text = await call.rooms.keys.create(asked)
    return CreatedKey(**msgspec.structs.asdict(_view(key)), key=text)


@routes.delete("/keys/{id}")
async def revoke_key(call: Call, id: str) -> KeyView:
    """Revoke an API key for good; other processes notice within seconds."""
    key = await call.rooms.keys.revoke(id, call.caller.actor)
    if key is None:
        raise Problem(404, "key-not-found", f"no key {id!r}")
    return _view(key)


@routes.get("/self")
async def get_self(call: Call) -> SelfView:
    """Who the caller is, and what it may do."""
    caller = call.caller
    return SelfView(
        user=caller.user,
        role=caller.role,
        project=caller.project,
        key=caller.key,
        permissions=allowed(caller, call.rooms.settings.read_only),
    )


def _view(key: ApiKey) -> KeyView:
    same = ("id", "prefix", "name", "role", "user", "project", "scopes", "created_at", "created_by")
    ends = ("expires_at", "revoked_at", "revoked_by")
    return KeyView(**{name: getattr(key, name) for name in (*same, *ends)}, live=key.is_live)
