"""Making, listing and revoking API keys from the command line, which is where the first one comes from."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from windlass.cli.act import actor
from windlass.cli.complaint import KeyNotFound
from windlass.cli.options import Form, Plain
from windlass.cli.serving import require_api
from windlass.cli.show import ago, clean, emit_json, emit_lines, emit_table, note
from windlass.cli.target import Target, with_store
from windlass.errors import InvalidOption
from windlass.store.protocol import Store
from windlass.values.clock import seconds
from windlass.values.queue import check_name

T = TypeVar("T")


class Wanted(NamedTuple):
    """A key as the command line asks for it."""

    name: str
    role: str
    user: str | None
    project: str | None
    scopes: str | None
    expires: str | None


def create_key(target: Target, wanted: Wanted, form: Plain) -> None:
    """Make it and show it."""
    key, text = _with_keys(target, lambda keys: keys.create(_asked(wanted)), create=True)
    if form is Plain.JSON:
        emit_json({"id": key.id, "name": key.name, "role": key.role, "user": key.user, "key": text})
    else:
        print(text)
        note(f"{key.role} key {key.id} of {key.user}; it is shown this once, as Authorization: Bearer")


def _asked(wanted: Wanted) -> Any:
    from windlass.api.caller import Role
    from windlass.api.keys import ApiKey
    from windlass.api.permissions import Permission

    scopes = None if wanted.scopes is None else tuple(part.strip() for part in wanted.scopes.split(",") if part.strip())
    wrong = [scope for scope in scopes or () if scope not in list(Permission)]
    if wrong:
        raise InvalidOption(
            f"there is no scope {wrong[0]!r}", field="scopes", value=wrong[0], mend=f"use {', '.join(Permission)}"
        )
    now = datetime.now(UTC)
    return ApiKey(
        id="",
        name=clean(wanted.name)[:100],
        hash="",
        role=Role(wanted.role),
        user="" if wanted.user is None else check_name(wanted.user, "user"),
        project=None if wanted.project is None else check_name(wanted.project, "project"),
        scopes=scopes,
        created_at=now,
        created_by=actor(),
        expires_at=None if wanted.expires is None else now + timedelta(seconds=seconds(wanted.expires, "expires")),
    )


def list_keys(target: Target, form: Form) -> None:
    """Print the keys."""
    keys = _with_keys(target, lambda keys: keys.list())
    rows = [{name: getattr(key, name) for name in _SHOWN} for key in keys]
    if form is Form.JSON:
        emit_json({"items": rows, "next": None})
    elif form is Form.IDS:
        emit_lines(key.id for key in keys)
    elif not keys:
        note("no keys yet; `windlass keys create NAME --role admin` makes one")
    else:
        emit_table(
            ["id", "name", "role", "user", "project", "age", "live"],
            [
                [
                    key.id,
                    clean(key.name),
                    str(key.role),
                    key.user,
                    key.project or "",
                    ago(key.created_at),
                    "yes" if key.is_live else "no",
                ]
                for key in keys
            ],
        )


def revoke_key(target: Target, id: str, form: Plain) -> None:
    """Close it."""
    key = _with_keys(target, lambda keys: keys.revoke(id, actor()))
    if key is None:
        raise KeyNotFound(f"there is no key {id!r}", id=id, mend="`windlass keys ls` lists them")
    if form is Plain.JSON:
        emit_json({"id": key.id, "revoked_at": key.revoked_at})
    else:
        print(f"key {key.id} ({clean(key.name)}) is revoked")


def _with_keys(target: Target, act: Callable[[Any], Awaitable[T]], *, create: bool = False) -> T:
    api = require_api()

    async def main(store: Store) -> T:
        async def here() -> Store:
            return store

        return await act(api.keys.ApiKeys(here))

    return with_store(target, main, create=create)


_SHOWN = ("id", "name", "role", "user", "project", "scopes", "created_at", "created_by", "expires_at", "revoked_at")
