"""Webhook endpoints and their deliveries as people look at them."""

from collections.abc import Sequence
from typing import Any

import msgspec

from windlass.cli.act import actor
from windlass.cli.options import Chosen, Form, Plain
from windlass.cli.show import ago, clean, emit_json, emit_lines, emit_table, note
from windlass.cli.target import Target, on_app
from windlass.values.query import Page
from windlass.webhooks.endpoint import Endpoint
from windlass.webhooks.view import WebhookDelivery, WebhookOptions

_HIDDEN = ("secret", "retired_secret")


def add_endpoint(
    target: Target,
    address: str,
    events: Sequence[str] | None,
    queues: Sequence[str] | None,
    kinds: Sequence[str] | None,
    form: Plain,
) -> None:
    """Add an endpoint and print its secret."""
    fields = WebhookOptions(events=events or ["*"], queues=queues or (), kinds=kinds or ())
    made = on_app(target, lambda app: app.webhooks.add(address, actor=actor(), **fields), create=True)
    if form is Plain.JSON:
        emit_json({**_shown(made), "secret": made.secret})
        return
    emit_lines([made.secret])
    note(f"{made.id} is told of {', '.join(made.events)}; receivers check signatures with this secret, shown this once")


def emit_endpoints(endpoints: Sequence[Endpoint], form: Form) -> None:
    """Print endpoints in the form asked for, never a secret."""
    if form is Form.JSON:
        emit_json({"items": [_shown(each) for each in endpoints], "next": None})
    elif form is Form.IDS:
        emit_lines(each.id for each in endpoints)
    elif not endpoints:
        note(f"no webhooks in {Chosen.store}; `windlass webhooks add URL` makes one")
    else:
        rows = [
            [each.id, clean(each.url), ",".join(each.events), _state(each), ago(each.created_at)] for each in endpoints
        ]
        emit_table(["id", "url", "events", "state", "made"], rows)


def emit_deliveries(page: Page[WebhookDelivery], form: Form) -> None:
    """Print deliveries in the form asked for."""
    if form is Form.JSON:
        emit_json({"items": page.items, "next": page.next})
    elif form is Form.IDS:
        emit_lines(each.id for each in page.items)
    elif not page.items:
        note("nothing was sent to it")
    else:
        rows = [_delivery_row(each) for each in page.items]
        emit_table(["id", "event", "state", "tries", "answer", "age", "error"], rows, right=("tries", "answer"))
        if page.next:
            note(f"more: --cursor {page.next}")


def said(form: Plain, facts: dict[str, Any], text: str) -> None:
    """Print the outcome of an act."""
    if form is Plain.JSON:
        emit_json(facts)
    else:
        emit_lines([text])


def _shown(endpoint: Endpoint) -> dict[str, Any]:
    return {name: value for name, value in msgspec.to_builtins(endpoint).items() if name not in _HIDDEN}


def _state(endpoint: Endpoint) -> str:
    if not endpoint.active:
        return f"off: {endpoint.reason}" if endpoint.reason else "off"
    return "on" if endpoint.failing_since is None else f"failing since {ago(endpoint.failing_since)}"


def _delivery_row(each: WebhookDelivery) -> list[str]:
    answer = str(each.status or "-")
    return [
        each.id,
        each.event,
        each.state.value,
        str(each.attempts),
        answer,
        ago(each.created_at),
        clean(each.error or ""),
    ]
