"""The OpenAPI 3.1 document: FastAPI lays it out, the schemas come from the very types that requests are checked by."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, cast

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from windlass.api.operation import Operation, Routes
from windlass.api.permissions import Permission
from windlass.api.problems import MEDIA_TYPE, ProblemDocument

_TEMPLATE = "#/components/schemas/{name}"
_PROBLEMS: Mapping[int, str] = {
    400: "The request cannot be read.",
    401: "Nobody known makes it.",
    403: "The caller may not do that.",
    404: "There is no such thing, or it is not the caller's.",
    409: "Its state does not allow that.",
    412: "It is not as the client has seen it.",
    413: "It is too large.",
    415: "The body is not JSON.",
    422: "Something in it does not fit; `errors` says where.",
    429: "Too many requests; `Retry-After` says when to come again.",
    503: "The store cannot do that now.",
}
_OVERVIEW = """Every capability of a Windlass installation over HTTP.

Errors are problem documents (RFC 9457) with a stable `code`. Lists have opaque cursors. `POST` takes an `Idempotency-Key`; \
where an answer has an `ETag`, changes take `If-Match`. Jobs out of a caller's reach answer as if they did not exist."""


def document(app: FastAPI, rooms: Sequence[Routes]) -> dict[str, Any]:
    """The whole document."""
    operations = [operation for routes in rooms for operation in routes]
    found = get_openapi(
        title="Windlass",
        version=version("windlass"),
        openapi_version="3.1.0",
        description=_OVERVIEW,
        routes=app.routes,
        tags=[
            {"name": tag, "description": text} for tag, text in {each.tag: each.description for each in rooms}.items()
        ],
    )
    components = found.setdefault("components", {})
    components["schemas"] = _schemas(operations)
    components["securitySchemes"] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "A JWT (HS256, RS256, ES256, EdDSA) or an API key (`wl_...`).",
        }
    }
    found["security"] = [{"bearer": []}]
    return found


def extra(operation: Operation) -> dict[str, Any]:
    """What FastAPI cannot see of an operation: parameters, body, answers, permission."""
    told: dict[str, Any] = {
        "parameters": [*_path_parameters(operation), *_query_parameters(operation), *_header_parameters(operation)],
        "responses": _responses(operation),
        "security": [{"bearer": []}],
        "x-permission": str(operation.permission),
    }
    if operation.body is not None:
        content: dict[str, Any] = {"schema": _reference(operation.body)}
        if operation.example is not None:
            content["example"] = operation.example
        told["requestBody"] = {"required": operation.needs_body, "content": {"application/json": content}}
    return told


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    schema = {"type": "string", "minLength": 1, "maxLength": 200}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in operation.params]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    return [
        {"name": name, "in": "query", "required": False, **_described(_without_null(schema))}
        for name, schema in _properties(operation.query).items()
    ]


@cache
def _properties(kind: type[Any]) -> dict[str, Any]:
    _, found = msgspec.json.schema_components([kind], ref_template=_TEMPLATE)
    return found[kind.__name__]["properties"]


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema, its description where documents want it."""
    text = schema.pop("description", None)
    return {"schema": schema} if text is None else {"schema": schema, "description": text}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter is left out rather than null."""
    schema = dict(schema)
    options = [each for each in schema.pop("anyOf", ()) if each != {"type": "null"}]
    if schema.get("default", ...) is None:
        del schema["default"]
    if len(options) == 1:
        return {**options[0], **schema}
    return {**schema, "anyOf": options} if options else schema


def _header_parameters(operation: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if operation.idempotent:
        found.append(
            _header("Idempotency-Key", "Repeats of a request with the same key get the first one's answer, for a day.")
        )
    if operation.tagged and operation.method != "GET":
        found.append(_header("If-Match", "Change it only if its ETag is this."))
    if operation.tagged and operation.method == "GET":
        found.append(_header("If-None-Match", "Answer 304 if its ETag still is this."))
    return found


def _header(name: str, text: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if name == "Idempotency-Key":
        schema.update(minLength=1, maxLength=255, pattern="^[!-~]+$")
    return {"name": name, "in": "header", "required": False, "description": text, "schema": schema}


def _responses(operation: Operation) -> dict[str, Any]:
    answers = {operation.status: operation.answer, **operation.others}
    found: dict[str, Any] = {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "content": {"application/json": {"schema": _reference(answer)}},
        }
        for status, answer in sorted(answers.items())
        if not operation.streams
    }
    if operation.streams:
        found[str(operation.status)] = {
            "description": "The stream.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    if operation.tagged and operation.method == "GET":
        found["304"] = {"description": "It still is as the client has seen it."}
    problem = {MEDIA_TYPE: {"schema": _reference(ProblemDocument)}}
    for status, text in _PROBLEMS.items():
        found[str(status)] = {"description": text, "content": problem}
    found["default"] = {"description": "Any other problem.", "content": problem}
    return found


@cache  # the same few dozen types for hundreds of answers: they were most of the time that a server took to begin
def _reference(kind: Any) -> dict[str, Any]:
    ((reference,), _) = msgspec.json.schema_components([kind], ref_template=_TEMPLATE)
    return reference


def _schemas(operations: Iterable[Operation]) -> dict[str, Any]:
    kinds: list[Any] = [ProblemDocument, Permission]
    for operation in operations:
        kinds += [kind for kind in (operation.body, operation.answer, *operation.others.values()) if kind is not None]
    _, found = msgspec.json.schema_components(kinds, ref_template=_TEMPLATE)
    return cast("dict[str, Any]", _tidy(found))


def _tidy(value: Any) -> Any:
    """Descriptions on one line each paragraph; nothing else is touched."""
    if isinstance(value, list):
        return [_tidy(each) for each in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    found = {name: _tidy(each) for name, each in cast("dict[str, Any]", value).items()}
    if isinstance(found.get("description"), str):
        found["description"] = re.sub(r"(?<!\n)\n(?!\n)\s*", " ", found["description"])
    return found
