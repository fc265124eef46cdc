"""Webhooks: endpoints made, changed, tried; what was delivered, and sending it again."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from windlass.api.operation import Call, Reply, Routes
from windlass.api.paging import Listing, whole
from windlass.values.query import Page
from windlass.webhooks.endpoint import Endpoint
from windlass.webhooks.view import WebhookDelivery, WebhookFields

routes = Routes("webhooks", "Webhooks: events told to addresses outside, signed (Standard Webhooks).")

Url = Annotated[str, Meta(min_length=8, max_length=8_192, pattern=r"^https?://\S+$")]
Secret = Annotated[str, Meta(max_length=200, pattern=r"^whsec_[A-Za-z0-9+/=]+$")]
Patterns = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...], Meta(max_length=50)]
Part = Literal["args", "result"]


class NewWebhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An endpoint. `events`: names or patterns (`job.*`); `queues`, `kinds`: patterns, empty for all; `include`: which parts of a
    job go along. `secret`: made if left out."""

    url: Url
    events: Patterns = ("*",)
    queues: Patterns = ()
    kinds: Patterns = ()
    include: tuple[Part, ...] = ()
    description: Annotated[str, Meta(max_length=500)] = ""
    secret: Secret | None = None


class WebhookEdit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is left out stays."""

    url: Url | UnsetType = UNSET
    events: Patterns | UnsetType = UNSET
    queues: Patterns | UnsetType = UNSET
    kinds: Patterns | UnsetType = UNSET
    include: tuple[Part, ...] | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=500)] | UnsetType = UNSET
    active: bool | UnsetType = UNSET


class WebhookView(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint, without its secret. `failing_since`: since when nothing arrives; `reason`: why it was switched off."""

    id: str
    url: str
    events: tuple[str, ...]
    queues: tuple[str, ...]
    kinds: tuple[str, ...]
    include: tuple[str, ...]
    description: str
    active: bool
    reason: str | None
    created_at: datetime
    created_by: str
    failing_since: datetime | None
    retires_at: datetime | None


class WebhookSecret(WebhookView, frozen=True, kw_only=True):
    """An endpoint with its secret, which is told this once."""

    secret: str


class DeliveriesQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`state`: `completed` (delivered), `retrying`, `failed` (given up), `waiting`, `delayed`, `active`."""

    state: Annotated[str, Meta(pattern=r"^[a-z]{1,20}$")] | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 50
    cursor: Annotated[str, Meta(max_length=200)] | None = None


class DeliveryList(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries, the newest first; `next_cursor` null at the end."""

    items: list[WebhookDelivery]
    next_cursor: str | None


class Replay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which deliveries: these, or all that were given up, of those only what was created after `since`."""

    ids: Annotated[tuple[str, ...], Meta(max_length=1_000)] = ()
    since: datetime | None = None


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """How many are sent again, and which ones cannot be."""

    count: int
    refused: Mapping[str, str]


class Pinged(msgspec.Struct, frozen=True, kw_only=True):
    """The delivery that was made."""

    delivery: str


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint that is gone."""

    id: str
    outcome: Literal["removed"] = "removed"


@routes.get("/webhooks")
async def list_webhooks(call: Call) -> Reply[Listing[WebhookView]]:
    """List endpoints, the oldest first."""
    return whole(call, [_view(each) for each in await call.app.webhooks.list()])


@routes.post(
    "/webhooks", status=201, secret=True, example={"url": "https://shop.example/hooks", "events": ["job.failed"]}
)
async def create_webhook(call: Call, body: NewWebhook) -> WebhookSecret:
    """Add an endpoint. The answer is the only one that shows its secret."""
    fields: Any = {name: getattr(body, name) for name in ("events", "queues", "kinds", "include", "description")}
    made = await call.app.webhooks.add(body.url, secret=body.secret, actor=call.caller.actor, **fields)
    return WebhookSecret(**msgspec.structs.asdict(_view(made)), secret=made.secret)


@routes.get("/webhooks/{id}", tagged=True)
async def get_webhook(call: Call, id: str) -> WebhookView:
    """Show an endpoint."""
    return _view(await call.app.webhooks.get(id))


@routes.patch("/webhooks/{id}", tagged=True, example={"active": False})
async def edit_webhook(call: Call, id: str, body: WebhookEdit) -> WebhookView:
    """Change an endpoint; with `If-Match`, only if it still is as the client has seen it."""
    if "if-match" in call.request.headers:
        call.require_match(_view(await call.app.webhooks.get(id)))
    changes = {name: value for name, value in msgspec.structs.asdict(body).items() if value is not UNSET}
    fields: WebhookFields = changes  # pyright: ignore[reportAssignmentType]
    return _view(await call.app.webhooks.edit(id, actor=call.caller.actor, **fields))


@routes.delete("/webhooks/{id}")
async def delete_webhook(call: Call, id: str) -> Removed:
    """Forget an endpoint; what was not delivered yet is cancelled."""
    await call.app.webhooks.remove(id, actor=call.caller.actor)
    return Removed(id=id)


@routes.post("/webhooks/{id}/rotate", secret=True)
async def rotate_webhook(call: Call, id: str) -> WebhookSecret:
    """Make a new secret; for a day messages are signed with both. The answer is the only one that shows it."""
    made = await call.app.webhooks.rotate(id, actor=call.caller.actor)
    return WebhookSecret(**msgspec.structs.asdict(_view(made)), secret=made.secret)


@routes.post("/webhooks/{id}/ping", status=202)
async def ping_webhook(call: Call, id: str) -> Pinged:
    """Send a message of the type `ping`."""
    return Pinged(delivery=await call.app.webhooks.ping(id, actor=call.caller.actor))


@routes.get("/webhooks/{id}/deliveries")
async def list_webhook_deliveries(call: Call, id: str, query: DeliveriesQuery) -> DeliveryList:
    """List what was sent to an endpoint, and how it went."""
    page: Page[WebhookDelivery] = await call.app.webhooks.deliveries(
        id, state=query.state, limit=query.limit, cursor=query.cursor
    )
    return DeliveryList(items=page.items, next_cursor=page.next)


@routes.post("/webhooks/{id}/replay", needs_body=False, example={"since": "2026-03-01T12:00:00Z"})
async def replay_webhook(call: Call, id: str, body: Replay) -> Replayed:
    """Send again, under the same ids, so that receivers notice what they have already."""
    done = await call.app.webhooks.replay(id, *body.ids, since=body.since, actor=call.caller.actor)
    return Replayed(count=int(done), refused=done.refused)


def _view(endpoint: Endpoint) -> WebhookView:
    return WebhookView(**{name: getattr(endpoint, name) for name in WebhookView.__struct_fields__})
