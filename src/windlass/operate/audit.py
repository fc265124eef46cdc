"""`app.audit`: what operators did, page by page, newest first."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from windlass.declare.refusal import refusal
from windlass.store.protocol import Store
from windlass.values.clock import instant, moment
from windlass.values.failure import is_text, safe_text
from windlass.values.query import AuditEntry, AuditQuery, Page

MOST_ACTS = 1_000
NOTHING: Mapping[str, Any] = {}
_LONGEST_ACTOR = 200


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """Something that somebody did. `target`: a job's id, `jobs` (by a filter, which `detail` tells), `queue:<name>`, ..."""

    id: str
    at: datetime
    actor: str
    action: str
    target: str
    detail: dict[str, Any]


async def note_act(store: Store, actor: str, action: str, target: str, detail: Mapping[str, Any] = NOTHING) -> None:
    """Write down an act that no verb of the store's writes by itself."""
    text = msgspec.json.encode(detail).decode()
    entry = AuditEntry(at=0, actor=safe_text(actor, _LONGEST_ACTOR), action=action, target=target, detail=text)
    await store.note_acts([entry])


async def read_audit(
    store: Store,
    *,
    target: str | None = None,
    actor: str | None = None,
    action: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> Page[Act]:
    """A page of acts; all that is given must match."""
    if not 1 <= limit <= MOST_ACTS:
        raise refusal("limit", limit, f"1..{MOST_ACTS}", "ask for fewer and follow page.next")
    for name, text in (("target", target), ("actor", actor), ("action", action)):
        if text is not None and not is_text(text):
            raise refusal(name, text, "Unicode text", "leave the lone surrogate out")
    query = AuditQuery(
        target=target,
        actor=actor,
        action=action,
        since=None if since is None else instant(since, "since"),
        until=None if until is None else instant(until, "until"),
        before=_place(cursor),
        limit=limit,
    )
    entries = await store.audit(query)
    return Page([act_of(entry) for entry in entries], entries[-1].id if len(entries) == limit else None)


def _place(cursor: object) -> str | None:
    """Opaque to users: an engine's number of an entry."""
    if cursor is None or (isinstance(cursor, str) and len(cursor) <= 100 and cursor.isascii() and cursor.isprintable()):
        return cursor
    raise refusal("cursor", cursor, "the `next` of an earlier page", "start again without one")


def act_of(entry: AuditEntry) -> Act:
    """An entry as readers see it."""
    return Act(
        id=entry.id,
        at=moment(entry.at),
        actor=entry.actor,
        action=entry.action,
        target=entry.target,
        detail=msgspec.json.decode(entry.detail, type=dict[str, Any]),
    )
