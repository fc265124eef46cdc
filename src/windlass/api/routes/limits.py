"""Limits and breakers: what holds jobs back over all workers, looked at and steered while they run."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from windlass.api.operation import Call, Reply, Routes
from windlass.api.paging import Listing, whole
from windlass.api.problems import Problem
from windlass.api.specs import Duration
from windlass.flowcontrol.limits import KeyLimit
from windlass.providers.breakers import BreakerInfo

routes = Routes("limits", "Concurrency limits, rates, and the circuit breakers of providers.")

RateText = Annotated[str, Meta(pattern=r"^[1-9]\d{0,8}/(\d{1,6})?(s|m|h|d)$", examples=["100/m"])]


class LimitEdit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a key allows; of `rate` and `concurrency`, what is left out is lifted. `shut_for`: nothing of it starts for so long;
    given alone it leaves the rest. `pinned`: whatever code declares."""

    concurrency: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    rate: RateText | None = None
    burst: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    shut_for: Duration | None = None
    pinned: bool = True


class Opening(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how long; as long as a failure would, if left out."""

    duration: Duration | None = None


class Cleared(msgspec.Struct, frozen=True, kw_only=True):
    """A key that is as code declares it again."""

    key: str
    outcome: Literal["cleared"] = "cleared"


@routes.get("/limits")
async def list_limits(call: Call) -> Reply[Listing[KeyLimit]]:
    """List limits by key, and how much of them is in use."""
    return whole(call, await call.app.limits.list())


@routes.get("/limits/{key:path}", tagged=True)
async def get_limit(call: Call, key: str) -> KeyLimit:
    """Show a limit."""
    return await _limit(call, key)


@routes.put("/limits/{key:path}", tagged=True, example={"rate": "100/m", "concurrency": 5})
async def put_limit(call: Call, key: str, body: LimitEdit) -> KeyLimit:
    """Set what a key allows, for every claim that begins afterwards.

    With `If-Match`, only if it still is as the client has seen it.
    """
    if "if-match" in call.request.headers:
        call.require_match(await _limit(call, key))
    return await call.app.limits.put(
        key,
        rate=body.rate,
        concurrency=body.concurrency,
        burst=body.burst,
        shut_for=body.shut_for,
        pinned=body.pinned,
        actor=call.caller.actor,
    )


@routes.delete("/limits/{key:path}")
async def clear_limit(call: Call, key: str) -> Cleared:
    """Forget what was set: the key is as code declares it, or free."""
    call.require_match(await _limit(call, key))
    await call.app.limits.clear(key, actor=call.caller.actor)
    return Cleared(key=key)


async def _limit(call: Call, key: str) -> KeyLimit:
    found = await call.app.limits.get(key)
    if found is None:
        raise Problem(404, "limit-not-found", "nothing is known of this key")
    return found


@routes.get("/breakers")
async def list_breakers(call: Call) -> Reply[Listing[BreakerInfo]]:
    """List the circuit breakers of providers."""
    return whole(call, await call.app.breakers.list())


@routes.get("/breakers/{name:path}")
async def get_breaker(call: Call, name: str) -> BreakerInfo:
    """Show a provider's breaker; one that was never called is closed."""
    return await call.app.breakers.get(name)


@routes.post("/breakers/{name:path}/reset", needs_body=False)
async def reset_breaker(call: Call, name: str) -> BreakerInfo:
    """Close a breaker: jobs of the provider run again at once."""
    return await call.app.breakers.reset(name, actor=call.caller.actor)


@routes.post("/breakers/{name:path}/open", needs_body=False, example={"duration": "5m"})
async def open_breaker(call: Call, name: str, body: Opening) -> BreakerInfo:
    """Open a breaker for a while: jobs of the provider wait, then one of them probes."""
    return await call.app.breakers.open(name, body.duration, actor=call.caller.actor)
