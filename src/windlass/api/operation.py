"""An operation: a handler with its method, path, permission and the types of what goes in and out. Routers collect them.

Handlers are plain coroutine functions. Their signature says what they take: `call`, a parameter for each `{name}` of the
path, `query` and `body` (structs, checked before the handler runs), and the annotation of what they return is what clients
get. The server and the OpenAPI document both read it from here.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from windlass.api.caller import Caller
from windlass.api.permissions import OPERATIONS, Permission
from windlass.api.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

    from windlass.api.authentication import Authentication
    from windlass.api.bulk import BulkRunner
    from windlass.api.keys import ApiKeys
    from windlass.api.news import Newsroom
    from windlass.api.settings import ApiSettings
    from windlass.api.specs import Handlers
    from windlass.app import Windlass

T = TypeVar("T")
F = TypeVar("F", bound="Callable[..., Awaitable[Any]]")
PREFIX = "/api/v1"

Handler: TypeAlias = "Callable[..., Awaitable[Any]]"


class Reply(msgspec.Struct, Generic[T], frozen=True):
    """An answer that says more than its value: another status, headers."""

    value: T
    status: int | None = None
    headers: Mapping[str, str] = {}


class Rooms(msgspec.Struct, frozen=True):
    """What every request of one server shares."""

    app: "Windlass"
    settings: "ApiSettings"
    keys: "ApiKeys"
    handlers: "Handlers"
    bulk: "BulkRunner"
    news: "Newsroom"
    authentication: "Authentication"


class Call(msgspec.Struct, frozen=True):
    """A request that has been let in. `seed`: the id that the job it makes is to have, so that a repeated request makes none."""

    rooms: Rooms
    request: "Request"
    caller: Caller
    seed: str | None = None

    @property
    def app(self) -> "Windlass":
        return self.rooms.app

    def href(self, path: str) -> str:
        """The address of one of our own resources, wherever the API is mounted."""
        return f"{self.request.scope.get('root_path', '')}{PREFIX}{path}"

    def require_match(self, value: Any) -> None:
        """Refuse the change if the client has seen another version than this one (`If-Match`)."""
        asked = self.request.headers.get("if-match")
        if asked is None or asked.strip() == "*":
            return
        if entity_tag(encode(value)) not in [tag.strip() for tag in asked.split(",")]:
            raise Problem(412, "changed-meanwhile", "it is not as you have seen it", mend="read it again")


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path. `query`, `body`, `answer`: types, None for nothing. `others`: further statuses and their
    types. `bulky`: takes large bodies; `secret`: its answer is shown once, kept nowhere; `tagged`: its answers have an ETag;
    `streams`: its answer is a text/event-stream."""

    name: str
    method: str
    path: str
    prefix: str = PREFIX
    tag: str
    handler: Handler
    permission: Permission
    status: int
    query: Any = None
    body: Any = None
    answer: Any = None
    others: Mapping[int, Any] = {}
    bulky: bool = False
    secret: bool = False
    tagged: bool = False
    streams: bool = False
    needs_body: bool = True
    params: tuple[str, ...] = ()
    example: Any = None

    @property
    def summary(self) -> str:
        return (inspect.getdoc(self.handler) or "").split("\n")[0].rstrip(".")

    @property
    def description(self) -> str:
        return inspect.getdoc(self.handler) or ""

    @property
    def idempotent(self) -> bool:
        """Whether it takes an `Idempotency-Key`; the other methods are idempotent by themselves."""
        return self.method == "POST" and not self.secret


class Routes(list[Operation]):
    """The operations of one resource; its methods are decorators."""

    def __init__(self, tag: str, description: str) -> None:
        super().__init__()
        self.tag = tag
        self.description = description

    def get(self, path: str, **options: Any) -> Callable[[F], F]:
        return self._add("GET", path, options)

    def post(self, path: str, **options: Any) -> Callable[[F], F]:
        return self._add("POST", path, options)

    def put(self, path: str, **options: Any) -> Callable[[F], F]:
        return self._add("PUT", path, options)

    def patch(self, path: str, **options: Any) -> Callable[[F], F]:
        return self._add("PATCH", path, options)

    def delete(self, path: str, **options: Any) -> Callable[[F], F]:
        return self._add("DELETE", path, options)

    def _add(self, method: str, path: str, options: Mapping[str, Any]) -> Callable[[F], F]:
        def decorate(handler: F) -> F:
            name = str(getattr(handler, "__name__", ""))
            hints = get_type_hints(handler, include_extras=True)
            answer = None if options.get("streams") else hints.get("return")
            if get_origin(answer) is Reply:
                answer = get_args(answer)[0]
            if name not in OPERATIONS:
                raise LookupError(f"permissions.OPERATIONS has no row for {name}")
            given: dict[str, Any] = {"status": 200, "answer": None if answer is type(None) else answer, **options}
            self.append(
                Operation(
                    name=name,
                    method=method,
                    path=path,
                    tag=self.tag,
                    handler=handler,
                    permission=OPERATIONS[name],
                    query=hints.get("query"),
                    body=hints.get("body"),
                    params=tuple(re.findall(r"{(\w+)(?::path)?}", path)),
                    **given,
                )
            )
            return handler

        return decorate


def encode(value: Any) -> bytes:
    """A value as the JSON that clients get."""
    return msgspec.json.encode(value)


def entity_tag(body: bytes) -> str:
    """The ETag of a representation."""
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'
