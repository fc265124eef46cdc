"""`app.webhooks`: endpoints made, changed and tried; what was delivered; deliveries sent again."""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, cast

import msgspec
from msgspec.structs import replace

from windlass.errors import InvalidOption, WebhookNotFound
from windlass.operate.audit import note_act
from windlass.operate.shelf import Shelf
from windlass.operate.views import Acted, JobFilter
from windlass.outbound import AddressRefused, Outbound
from windlass.values.clock import Micros, moment
from windlass.values.job import Job
from windlass.values.query import Page
from windlass.values.states import State
from windlass.webhooks import endpoint, signing
from windlass.webhooks.delivery import DELIVER, Install
from windlass.webhooks.endpoint import DETAILS, SPACE, Endpoint, check_events, check_patterns
from windlass.webhooks.messages import Message, encoded
from windlass.webhooks.relay import Relay, delivery

if TYPE_CHECKING:
    from windlass.app import Windlass

OVERLAP = timedelta(hours=24)
"""How long a retired secret is still signed with."""
_LONGEST_DESCRIPTION = 500
_READ = msgspec.json.Decoder(Message)


class WebhookOptions(TypedDict, total=False):
    """What of an endpoint can be set besides its URL."""

    events: Sequence[str] | str
    queues: Sequence[str] | str
    kinds: Sequence[str] | str
    include: Sequence[Literal["args", "result"]]
    description: str
    active: bool


class WebhookFields(WebhookOptions, total=False):
    """What of an endpoint can be changed."""

    url: str


class WebhookDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """One message to one endpoint. `id` is what the receiver gets as `webhook-id`, and a job's id. `state`: of that job, so
    `completed` is delivered, `retrying` failed so far, `failed` given up. `status`: the receiver's last answer, None if there was
    none; `error`: why the last try failed. `subject`: the job that the event is about."""

    id: str
    endpoint: str
    event: str
    subject: str | None
    state: State
    attempts: int
    status: int | None
    error: str | None
    created_at: datetime
    finished_at: datetime | None
    next_at: datetime | None


class Webhooks:
    """The endpoints of an installation. A change holds in every worker within five seconds."""

    def __init__(self, app: "Windlass") -> None:
        self._app = app
        self._shelf = Shelf(app.store, SPACE, Endpoint)
        self._install: Install | None = None

    @property
    def handlers(self) -> Install:
        """The kinds that send, registered in the app."""
        if self._install is None:
            self._install = Install(self._app)
        return self._install

    def relay(self) -> Relay:
        """What a worker adds to the ends it commits."""
        return Relay(self._app.store, self.handlers.deliver, self.handlers.flow)

    async def list(self) -> list[Endpoint]:
        """Every endpoint, the oldest first."""
        return sorted((await self._shelf.all()).values(), key=lambda each: (each.created_at, each.id))

    async def get(self, id: str) -> Endpoint:
        """An endpoint; raises `WebhookNotFound`."""
        found = await self._shelf.get(id) if _is_id(id) else None
        if found is None:
            raise WebhookNotFound(f"there is no webhook {id[:60]!r}", id=id[:60])
        return found

    async def add(
        self, url: str, *, secret: str | None = None, actor: str = "app", **fields: Unpack[WebhookOptions]
    ) -> Endpoint:
        """A new endpoint. Its `secret` is made unless one is given; receivers check signatures with it. Raises `InvalidOption`
        for a URL that is none or leads to an address inside (names are looked at again before each delivery)."""
        if len(await self._shelf.all()) >= endpoint.MOST_ENDPOINTS:
            raise InvalidOption(
                f"there are {endpoint.MOST_ENDPOINTS:,} endpoints",
                field="url",
                limit=f"{endpoint.MOST_ENDPOINTS:,} endpoints",
                mend="remove those that are not used, or give one endpoint more events and queues",
            )
        made = Endpoint(
            id=f"we_{secrets.token_hex(8)}",
            url=self._checked(url),
            secret=signing.new_secret() if secret is None else signing.check_secret(secret),
            created_at=await self._now(),
            created_by=actor,
        )
        made = replace(made, **self._read(fields))
        await self._shelf.add(made.id, made)
        await note_act(
            await self._app.store(),
            actor,
            "add-webhook",
            f"webhook:{made.id}",
            {"url": made.url, "events": made.events},
        )
        return made

    async def edit(self, id: str, *, actor: str = "app", **fields: Unpack[WebhookFields]) -> Endpoint:
        """Change what is given. `active=True` forgets why it was switched off."""
        changes = self._read(fields)
        if changes.get("active"):
            changes |= {"reason": None, "failing_since": None}
        await self.get(id)
        found = await self._shelf.change(id, lambda known: replace(known, **changes))
        await note_act(
            await self._app.store(),
            actor,
            "edit-webhook",
            f"webhook:{id}",
            {name: repr(value)[:200] for name, value in changes.items()},
        )
        return found or await self.get(id)

    async def remove(self, id: str, *, actor: str = "app") -> None:
        """Forget an endpoint; what was not delivered yet is cancelled when its turn comes."""
        await self.get(id)
        await self._shelf.drop(id)
        await note_act(await self._app.store(), actor, "remove-webhook", f"webhook:{id}")

    async def rotate(self, id: str, *, secret: str | None = None, actor: str = "app") -> Endpoint:
        """A new secret. For a day messages are signed with both, so that the receiver can change over."""
        fresh = signing.new_secret() if secret is None else signing.check_secret(secret)
        now = await self._now()
        await self.get(id)

        def change(known: Endpoint) -> Endpoint:
            return replace(known, secret=fresh, retired_secret=known.secret, retires_at=now + OVERLAP)

        found = await self._shelf.change(id, change)
        await note_act(await self._app.store(), actor, "rotate-webhook", f"webhook:{id}")
        return found or await self.get(id)

    async def ping(self, id: str, *, actor: str = "app") -> str:
        """Send a message of the type `ping`; the delivery's id."""
        found = await self.get(id)
        message = Message(type="ping", at=await self._now(), data={"endpoint": id, "by": actor})
        (ref,) = await self._app.enqueue_many([delivery(self.handlers.deliver, found.id, encoded(message))])
        return ref.id

    async def deliveries(
        self, id: str, *, state: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page[WebhookDelivery]:
        """What was sent to an endpoint, the newest first, as long as the jobs that sent it are kept."""
        await self.get(id)
        sought: JobFilter = {"kind": DELIVER, "group": id}
        if state is not None:
            sought["state"] = state
        page = await self._app.jobs.list(limit=limit, cursor=cursor, **sought)
        return Page([_delivery(job) for job in page.items], page.next)

    async def replay(self, id: str, *deliveries: str, since: datetime | None = None, actor: str = "app") -> Acted:
        """Send again, under the same ids: these deliveries, or all that were given up (`since`: created after it)."""
        await self.get(id)
        if deliveries:
            return await self._app.jobs.requeue(*deliveries, kind=DELIVER, group=id, actor=actor)
        more: dict[str, Any] = {} if since is None else {"created_from": since}
        return await self._app.jobs.requeue(kind=DELIVER, group=id, state="failed", actor=actor, **more)

    async def tell(self, event: str, data: dict[str, Any], *, about: str, at: Micros) -> int:
        """Send an event of the installation's own (alerts) to all that want it; told twice, it is sent once."""
        return await self.handlers.tell(Message(type=event, at=moment(at), data=data), at, about=about)

    def _checked(self, url: str) -> str:
        try:
            return Outbound(self._app.settings.webhook_networks).check_url(url)
        except AddressRefused as error:
            raise InvalidOption(
                f"url: {error.message}",
                field="url",
                value=repr(url)[:200],
                limit="an http or https address outside",
                mend="allow its network with webhook_networks, if messages may go there",
            ) from None

    def _read(self, fields: WebhookFields | WebhookOptions) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        for name, value in fields.items():
            changes[name] = self._field(name, value)
        return changes

    def _field(self, name: str, value: Any) -> Any:
        match name:
            case "url":
                return self._checked(value)
            case "events":
                return check_events(value)
            case "queues" | "kinds":
                return check_patterns(value, name)
            case "include" if all(part in DETAILS for part in value) and not isinstance(value, str):
                return tuple(dict.fromkeys(value))
            case "description" if isinstance(value, str) and len(value) <= _LONGEST_DESCRIPTION:
                return value
            case "active" if isinstance(value, bool):
                return value
            case _:
                raise InvalidOption(
                    f"{name} is {value!r}"[:200],
                    field=name,
                    value=repr(value)[:100],
                    limit="args, result" if name == "include" else "see WebhookFields",
                    mend="correct it",
                )

    async def _now(self) -> datetime:
        return moment(await (await self._app.store()).now())


def _delivery(job: Job) -> WebhookDelivery:
    message = _READ.decode(str(job.args.get("message", '{"type": "?"}')))
    answer = cast("dict[str, Any]", job.result) if isinstance(job.result, dict) else {}
    error = job.error
    return WebhookDelivery(
        id=job.id,
        endpoint=str(job.args.get("endpoint", "")),
        event=message.type,
        subject=message.job or (message.data or {}).get("id"),
        state=job.state,
        attempts=job.attempt,
        status=answer.get("status") or _status(None if error is None else error.message),
        error=None if job.state is State.COMPLETED or error is None else error.message,
        created_at=job.created_at,
        finished_at=job.finished_at,
        next_at=job.run_at if job.state in (State.RETRYING, State.DELAYED) else None,
    )


def _status(text: str | None) -> int | None:
    """The status in `... answered 503`: errors are kept as text."""
    _, found, number = (text or "").rpartition(" answered ")
    return int(number) if found and number.isdigit() else None


def _is_id(id: str) -> bool:
    return id.startswith("we_") and id[3:].isalnum() and id.isascii()


__all__ = ["Endpoint", "WebhookDelivery", "WebhookFields", "WebhookNotFound", "WebhookOptions", "Webhooks"]
