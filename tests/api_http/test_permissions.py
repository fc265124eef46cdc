"""Every route against every role: generated from the routes themselves, so a new one is in it from the day it is made."""

import pytest
from starlette.requests import Request
from starlette.responses import Response

from tests.api_http.kit import opened, problem
from tests.store.kit import Place
from windlass.api.asgi import ANONYMOUS, RESOURCES, make_fastapi
from windlass.api.caller import Caller, Role
from windlass.api.operation import PREFIX, Operation
from windlass.api.permissions import OPERATIONS, ROLES, SHARED, Permission, may

EVERY = [operation for routes in RESOURCES for operation in routes]
WRITES = {permission for permission in Permission if not permission.endswith((":read", "self"))}


def address(operation: Operation) -> str:
    path = operation.path
    for name in operation.params:
        path = path.replace(f"{{{name}}}", "nothing").replace(f"{{{name}:path}}", "nothing")
    return PREFIX + path + ("?topics=nothing" if operation.streams else "")  # a stream would never end


def test_the_table_has_exactly_the_routes() -> None:
    assert [operation.name for operation in EVERY].count("create_job") == 1
    assert {operation.name for operation in EVERY} == set(OPERATIONS)
    assert len({(operation.method, operation.path) for operation in EVERY}) == len(EVERY)


def test_reading_permissions_are_on_reading_methods() -> None:
    previews = {"search_jobs", "preview_new_schedule"}
    for operation in EVERY:
        if operation.method != "GET" and operation.name not in previews:
            assert operation.permission in WRITES, operation.name
        if operation.method == "GET":
            assert operation.permission not in WRITES, operation.name


def test_roles_are_what_they_are_called() -> None:
    assert not ROLES[Role.VIEWER] & WRITES
    assert not ROLES[Role.USER] & SHARED
    assert ROLES[Role.VIEWER] < ROLES[Role.OPERATOR] < ROLES[Role.ADMIN] == set(Permission)
    assert {Permission.KEYS_READ, Permission.KEYS_CHANGE} == ROLES[Role.ADMIN] - ROLES[Role.OPERATOR]


@pytest.mark.parametrize("role", [None, "expired", "other-audience", *Role], ids=str)
async def test_every_route_by_role(memory: Place, role: str | None) -> None:
    async with opened(memory, failures="100000/s") as door:
        if role is None:
            client = await door.client()
        elif role == "expired":
            client = await door.as_("admin", exp=1)
        elif role == "other-audience":
            client = await door.as_("admin", aud="elsewhere")
        else:
            client = await door.as_(role)
        for operation in EVERY:
            answer = await client.request(operation.method, address(operation))
            if role not in list(Role):
                problem(answer, 401, "unauthenticated" if role is None else "invalid-credentials")
                assert answer.headers["www-authenticate"].startswith("Bearer")
            elif operation.permission in ROLES[Role(role)]:
                assert answer.status_code not in (401, 403, 500), (operation.name, answer.text)
            else:
                problem(answer, 403, "forbidden")


async def test_a_project_closes_what_all_share(memory: Place) -> None:
    async with opened(memory) as door:
        client = await door.as_("admin", project="blue")
        for operation in EVERY:
            answer = await client.request(operation.method, address(operation))
            assert (answer.status_code == 403) == (operation.permission in SHARED), operation.name


async def test_nothing_else_is_open(memory: Place) -> None:
    """Routes that are no operations: to nobody answer only health, the dashboard's files, and whether one is signed in."""
    async with opened(memory) as door:
        client = await door.client()

        async def nothing(request: Request) -> Response:
            return Response()

        paths = {getattr(route, "path", "") for route in make_fastapi(None, lambda _: nothing).routes}
        assert paths == {PREFIX + operation.path for operation in EVERY}
        for path in ANONYMOUS:
            answer = await client.get(path)
            assert answer.status_code == 200
            assert set(answer.json()) == {"status"}
        for path in ("/openapi.json", "/docs", f"{PREFIX}/self"):
            problem(await client.get(path), 401, "unauthenticated")
        assert (await client.get(f"{PREFIX}/session")).json() == {
            "signed_in": False, "by": None, "csrf": None, "read_only": False, "me": None,
        }  # fmt: skip
        for path in ("/docs/", "/redoc", "/metrics", f"{PREFIX}", "/api", f"{PREFIX}/jobs/"):
            assert (await client.get(path)).status_code in (401, 404), path


def test_scopes_narrow_and_never_widen() -> None:
    scoped = Caller(user="ann", role=Role.VIEWER, scopes=frozenset(Permission))
    assert {permission for permission in Permission if may(scoped, permission)} == ROLES[Role.VIEWER]
    scoped = Caller(user="ann", role=Role.ADMIN, scopes=frozenset({"jobs:read"}))
    assert {permission for permission in Permission if may(scoped, permission)} == {
        Permission.JOBS_READ,
        Permission.SELF,
    }
    assert not may(Caller(user="ann", role=Role.ADMIN, scopes=frozenset()), Permission.JOBS_READ)
